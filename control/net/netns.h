// Network namespaces by name, as `ip netns` keeps them: /run/netns/NAME is a bind mount of the namespace. The
// mirrors live in one of shunt's own, so that neither the host's services nor its routes get mixed up with
// the endpoints'.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "dataplane/base/result.h"

namespace shunt::control {

/// A file descriptor that is closed with its owner; -1 is none.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor();
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }
  /// Gives the descriptor to the caller.
  int release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// A network namespace that is held open. Sockets and TAPs made inside stay there, on whatever thread they
/// are used afterwards. Any thread may call run(); open() and remove() belong to the control plane's. Needs
/// CAP_SYS_ADMIN, but for "".
class Namespace {
 public:
  /// The namespace `name`; made, with `lo` up, where there is none. "" is the one the calling thread is in.
  static Result<Namespace> open(const std::string& name);

  const std::string& name() const { return name_; }
  /// Made by shunt, in this run or in one that was killed: its settings are ours to choose, and remove()
  /// removes it.
  bool ours() const { return ours_; }

  /// Runs `function`, which returns a Result, with the calling thread inside the namespace, and comes back.
  /// Ends the process if there is no way back: a thread in the wrong namespace would talk to the wrong
  /// network.
  template <typename Function>
  std::invoke_result_t<Function> run(Function&& function) const {
    const auto scope = enter();
    if (!scope) return Failure(scope.error());
    return std::forward<Function>(function)();
  }

  /// Takes the name away, at a clean stop, after the mirrors are gone. Keeps a namespace that is not ours(),
  /// and one in which an interface other than `lo` is still up: somebody else's.
  Result<void> remove();

  /// Writes a setting below /proc/sys/net of this namespace: set("ipv4/conf/all/rp_filter", "0").
  Result<void> set(std::string_view path, std::string_view value) const;

 private:
  /// Goes back to where the thread came from when it ends.
  class Scope {
   public:
    explicit Scope(FileDescriptor back) : back_(std::move(back)) {}
    ~Scope();
    Scope(Scope&&) = default;

   private:
    FileDescriptor back_;
  };
  Result<Scope> enter() const;
  Result<void> prepare();

  std::string name_;
  FileDescriptor fd_;  ///< none for ""
  bool ours_ = false;
};

}  // namespace shunt::control
