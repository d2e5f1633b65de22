#include <iostream>

#include "control/ctl/run.h"

int main(int argc, char** argv) {
  return shunt::control::ctl::run(argc, argv, std::cout, std::cerr);
}
