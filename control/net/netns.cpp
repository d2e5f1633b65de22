#include "control/net/netns.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "control/net/netlink.h"

namespace shunt::control {

namespace {

constexpr const char* kFolder = "/run/netns";
/// Not /proc/self: that is the main thread's, and the namespace belongs to the thread.
constexpr const char* kOwn = "/proc/thread-self/ns/net";
/// The alias of `lo` in a namespace that shunt made. It tells a later run, after a kill, whose it is.
constexpr const char* kMark = "made by shunt";
constexpr int kLoopback = 1;  // `lo` has index 1 in each namespace

Failure failure(std::string_view what, int code) {
  return Failure(fmt::format("{}: {}", what, std::strerror(code)));
}

Result<FileDescriptor> open_own() {
  FileDescriptor fd(::open(kOwn, O_RDONLY | O_CLOEXEC));
  if (!fd) return failure(fmt::format("cannot open {}", kOwn), errno);
  return fd;
}

bool is_namespace(int fd) {
  struct statfs info {};
  return ::fstatfs(fd, &info) == 0 && info.f_type == NSFS_MAGIC;
}

/// Makes /run/netns a shared mount, as `ip netns add` does, so that namespaces named here are seen in other
/// mount namespaces, and unmounted there too.
Result<void> prepare_folder() {
  if (::mkdir(kFolder, 0755) != 0 && errno != EEXIST)
    return failure(fmt::format("cannot make {}", kFolder), errno);
  bool bound = false;
  while (::mount("", kFolder, "none", MS_SHARED | MS_REC, nullptr) != 0) {
    if (errno != EINVAL || bound) return failure(fmt::format("cannot share the mount {}", kFolder), errno);
    if (::mount(kFolder, kFolder, "none", MS_BIND | MS_REC, nullptr) != 0) {
      return failure(fmt::format("cannot mount {}", kFolder), errno);
    }
    bound = true;
  }
  return {};
}

/// Moves the thread into a new namespace, gives that a name, and goes back.
Result<void> make(const std::string& path) {
  const auto back = open_own();
  if (!back) return Failure(back.error());
  // A file that is no mount is left over from an `umount`, or from another mount namespace: mounted over.
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0));
  if (!file) return failure(fmt::format("cannot make {}", path), errno);
  if (::unshare(CLONE_NEWNET) != 0) {
    const int code = errno;
    ::unlink(path.c_str());
    return failure("cannot make a network namespace", code);
  }
  const int mounted = ::mount(kOwn, path.c_str(), "none", MS_BIND, nullptr);
  const int code = errno;
  if (::setns(back->get(), CLONE_NEWNET) != 0) std::abort();
  if (mounted != 0) {
    ::unlink(path.c_str());
    return failure(fmt::format("cannot mount the network namespace on {}", path), code);
  }
  return {};
}

bool valid_name(const std::string& name) {
  return name.size() <= NAME_MAX && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

/// Opens `path` if it is a namespace; an empty descriptor if it is nothing yet.
Result<FileDescriptor> open_existing(const std::string& path) {
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && errno != ENOENT && errno != EACCES) return failure(fmt::format("cannot open {}", path), errno);
  if (!fd || !is_namespace(fd.get())) return FileDescriptor();
  return fd;
}

Result<void> write_text(const std::string& path, std::string_view text) {
  const FileDescriptor fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return failure(fmt::format("cannot open {}", path), errno);
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return failure(fmt::format("cannot write '{}' to {}", text, path), errno);
  }
  return {};
}

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Namespace::Scope::~Scope() {
  if (back_ && ::setns(back_.get(), CLONE_NEWNET) != 0) {
    std::fputs("cannot leave a network namespace\n", stderr);
    std::abort();
  }
}

Result<Namespace::Scope> Namespace::enter() const {
  if (!fd_) return Scope(FileDescriptor());
  auto back = open_own();
  if (!back) return Failure(back.error());
  if (::setns(fd_.get(), CLONE_NEWNET) != 0) {
    return failure(fmt::format("cannot enter the network namespace '{}'", name_), errno);
  }
  return Scope(std::move(*back));
}

Result<Namespace> Namespace::open(const std::string& name) {
  Namespace result;
  result.name_ = name;
  if (name.empty()) return result;
  if (!valid_name(name)) return Failure(fmt::format("'{}' is no name for a network namespace", name));
  const std::string path = fmt::format("{}/{}", kFolder, name);
  auto fd = open_existing(path);
  if (!fd) return Failure(fd.error());
  bool made = false;
  if (!*fd) {
    if (auto done = prepare_folder(); !done) return Failure(done.error());
    // The lock that `ip netns add` takes: two that start at once must not mount over each other.
    const FileDescriptor lock(::open(kFolder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (lock) ::flock(lock.get(), LOCK_EX);
    fd = open_existing(path);
    if (fd && !*fd) {
      if (auto done = make(path); !done) return Failure(done.error());
      made = true;
      fd = open_existing(path);
    }
    if (!fd) return Failure(fd.error());
    if (!*fd) return Failure(fmt::format("cannot make the network namespace {}", path));
  }
  result.fd_ = std::move(*fd);
  result.ours_ = made;
  if (auto done = result.prepare(); !done) return Failure(done.error());
  return result;
}

/// Marks a new namespace as ours, or finds the mark, and sets up one that is ours.
Result<void> Namespace::prepare() {
  return run([this]() -> Result<void> {
    auto netlink = Netlink::open();
    if (!netlink) return Failure(netlink.error());
    if (!ours_) {
      NetlinkMessage ask(RTM_GETLINK, 0);
      ask.header<ifinfomsg>().ifi_index = kLoopback;
      const auto found = netlink->request(ask, [this](const nlmsghdr& m) {
        ours_ = NetlinkAttributes(m, sizeof(ifinfomsg)).text(IFLA_IFALIAS) == kMark;
      });
      if (!found) return Failure(fmt::format("network namespace '{}': {}", name_, found.error().text));
    }
    if (!ours_) return {};
    // A gateway for DNS, not a router: what reaches our MAC for other addresses is not passed on. First, as
    // it resets others.
    if (auto done = set("ipv4/ip_forward", "0"); !done) return done;
    for (const char* which : {"all", "default"}) {
      // A target may be reached through another port than its answer comes from.
      if (auto done = set(fmt::format("ipv4/conf/{}/rp_filter", which), "0"); !done) return done;
    }
    NetlinkMessage up(RTM_NEWLINK, 0);
    auto& header = up.header<ifinfomsg>();
    header.ifi_index = kLoopback;
    header.ifi_flags = header.ifi_change = IFF_UP;
    up.put_text(IFLA_IFALIAS, kMark);
    if (const auto done = netlink->request(up); !done) {
      return Failure(fmt::format("network namespace '{}', lo: {}", name_, done.error().text));
    }
    return {};
  });
}

Result<void> Namespace::remove() {
  if (!ours_ || name_.empty()) return {};
  const auto others = run([]() -> Result<bool> {
    auto netlink = Netlink::open();
    if (!netlink) return Failure(netlink.error());
    bool found = false;
    NetlinkMessage ask(RTM_GETLINK, NLM_F_DUMP);
    ask.header<ifinfomsg>();
    const auto done = netlink->request(ask, [&found](const nlmsghdr& m) {
      const auto* link = netlink_header<ifinfomsg>(m);
      // Tunnels' fallback devices appear by themselves, but are down.
      if (link != nullptr && link->ifi_index != kLoopback && (link->ifi_flags & IFF_UP) != 0) found = true;
    });
    if (!done) return Failure(done.error().text);
    return found;
  });
  if (!others) return Failure(others.error());
  if (*others) return {};
  const std::string path = fmt::format("{}/{}", kFolder, name_);
  if (::umount2(path.c_str(), MNT_DETACH) != 0 && errno != EINVAL && errno != ENOENT) {
    return failure(fmt::format("cannot unmount {}", path), errno);
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return failure(fmt::format("cannot remove {}", path), errno);
  ours_ = false;
  return {};
}

Result<void> Namespace::set(std::string_view path, std::string_view value) const {
  // /proc/sys/net shows the namespace of the thread that looks.
  return run([&] { return write_text(fmt::format("/proc/sys/net/{}", path), value); });
}

}  // namespace shunt::control
