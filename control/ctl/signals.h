// While one lives, SIGINT and SIGTERM end what a command is at instead of the program.
#pragma once

#include <csignal>

namespace shunt::control::ctl {

/// One at a time.
class Signals {
 public:
  Signals() {
    came_ = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { came_ = 1; };
    sigaction(SIGINT, &action, &interrupt_);
    sigaction(SIGTERM, &action, &terminate_);
  }
  ~Signals() {
    sigaction(SIGINT, &interrupt_, nullptr);
    sigaction(SIGTERM, &terminate_, nullptr);
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  static bool came() { return came_ != 0; }

 private:
  static inline volatile std::sig_atomic_t came_ = 0;
  struct sigaction interrupt_ {
  }, terminate_{};
};

}  // namespace shunt::control::ctl
