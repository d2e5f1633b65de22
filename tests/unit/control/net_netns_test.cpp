// Network namespaces: made, found again, entered and left, removed.
#include <linux/magic.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <thread>

#include "control/net/netns.h"
#include "tests/unit/control/net_support.h"

namespace shunt::control::test {
namespace {

ino_t current_namespace() {
  struct stat info {};
  EXPECT_EQ(::stat("/proc/thread-self/ns/net", &info), 0);
  return info.st_ino;
}

bool is_namespace(const std::string& name) {
  struct statfs info {};
  return ::statfs(("/run/netns/" + name).c_str(), &info) == 0 && info.f_type == NSFS_MAGIC;
}

Result<bool> loopback_is_up() {
  const FileDescriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) return Failure(std::strerror(errno));
  return (request.ifr_flags & IFF_UP) != 0;
}

std::string own_name(const char* what) {
  return "shunt-" + std::string(what) + "-" + std::to_string(::getpid());
}

class Namespaces : public NetTest {};

TEST_F(Namespaces, MadeWithLoopbackUpAndRemoved) {
  const std::string name = own_name("made");
  ASSERT_FALSE(is_namespace(name));
  auto made = Namespace::open(name);
  ASSERT_TRUE(made) << made.error();
  EXPECT_TRUE(is_namespace(name));
  EXPECT_TRUE(made->ours());
  EXPECT_EQ(made->run(loopback_is_up), Result<bool>(true));
  EXPECT_NE(shell("ip netns list").find(name), std::string::npos) << "`ip netns` does not know it";
  ASSERT_TRUE(made->remove());
  EXPECT_FALSE(is_namespace(name));
  EXPECT_NE(::access(("/run/netns/" + name).c_str(), F_OK), 0) << "the file stays";
  EXPECT_TRUE(made->remove()) << "a second time is harmless";
}

TEST_F(Namespaces, FoundAgainAfterAKill) {
  const std::string name = own_name("again");
  ASSERT_TRUE(Namespace::open(name));  // not removed, as by a kill
  auto again = Namespace::open(name);
  ASSERT_TRUE(again) << again.error();
  EXPECT_TRUE(again->ours());
  EXPECT_TRUE(again->remove());
  EXPECT_FALSE(is_namespace(name));
}

TEST_F(Namespaces, OthersAreUsedAndKept) {
  const std::string name = own_name("other");
  shell("ip netns add " + name);
  auto other = Namespace::open(name);
  ASSERT_TRUE(other) << other.error();
  EXPECT_FALSE(other->ours());
  EXPECT_EQ(other->run(loopback_is_up), Result<bool>(false)) << "not ours to set up";
  EXPECT_TRUE(other->remove());
  EXPECT_TRUE(is_namespace(name));
  shell("ip netns del " + name);
}

TEST_F(Namespaces, KeptWhileSomebodyUsesIt) {
  {
    const Mirror mirror = open_mirror("used", {.addresses = {interface_prefix("10.53.0.53/24")}});
    EXPECT_TRUE(namespace_.remove());
    EXPECT_TRUE(is_namespace(name_));
  }
  EXPECT_TRUE(namespace_.remove());
  EXPECT_FALSE(is_namespace(name_));
}

TEST_F(Namespaces, AFileThatIsNoNamespaceIsTakenOver) {
  const std::string name = own_name("stale");
  std::ofstream("/run/netns/" + name).close();
  auto made = Namespace::open(name);
  ASSERT_TRUE(made) << made.error();
  EXPECT_TRUE(made->ours());
  EXPECT_TRUE(is_namespace(name));
  EXPECT_TRUE(made->remove());
}

TEST_F(Namespaces, NamesThatLeaveTheFolderAreRefused) {
  for (const char* name : {"..", ".", "a/b", "../netns/x", "/etc/x"}) {
    const auto made = Namespace::open(name);
    ASSERT_FALSE(made) << name;
    EXPECT_NE(made.error().find(name), std::string::npos) << made.error();
  }
  EXPECT_FALSE(Namespace::open(std::string(300, 'x')));
}

TEST_F(Namespaces, RunEntersAndComesBack) {
  const ino_t outside = current_namespace();
  ino_t inside = 0, on_another_thread = 0;
  const auto done = namespace_.run([&]() -> Result<void> {
    inside = current_namespace();
    std::thread([&] { on_another_thread = current_namespace(); }).join();
    return {};
  });
  EXPECT_TRUE(done);
  EXPECT_NE(inside, outside);
  EXPECT_EQ(current_namespace(), outside);
  const auto failed = namespace_.run([]() -> Result<int> { return Failure("no"); });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error(), "no");
  EXPECT_EQ(current_namespace(), outside);
  EXPECT_THROW((void)namespace_.run([]() -> Result<int> { throw 1; }), int);
  EXPECT_EQ(current_namespace(), outside);
}

TEST_F(Namespaces, TheHostsOwnIsTheOneWeAreIn) {
  auto host = Namespace::open("");
  ASSERT_TRUE(host) << host.error();
  EXPECT_FALSE(host->ours());
  const ino_t outside = current_namespace();
  EXPECT_EQ(host->run([&]() -> Result<bool> { return current_namespace() == outside; }), Result<bool>(true));
  EXPECT_TRUE(host->remove());
}

TEST_F(Namespaces, SettingsStayInside) {
  const auto read = [](const std::string& path) {
    std::string text;
    std::ifstream(path) >> text;
    return text;
  };
  const std::string path = "/proc/sys/net/ipv4/ip_default_ttl";
  const std::string outside = read(path);
  ASSERT_TRUE(namespace_.set("ipv4/ip_default_ttl", "77"));
  EXPECT_EQ(read(path), outside);
  EXPECT_EQ(namespace_.run([&]() -> Result<std::string> { return read(path); }), Result<std::string>("77"));
  const auto wrong = namespace_.set("ipv4/there_is_no_such", "1");
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().find("there_is_no_such"), std::string::npos);
}

}  // namespace
}  // namespace shunt::control::test
