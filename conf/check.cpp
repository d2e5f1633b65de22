namespace shunt {}
