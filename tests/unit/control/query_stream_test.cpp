// dnstap to a collector, played here octet by octet: it may be late, slow, go away, or hang.
#include "control/query_stream.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <protozero/pbf_reader.hpp>
#include <thread>

#include "dataplane/base/bytes.h"

namespace shunt::control {
namespace {

using namespace std::chrono_literals;

// Control frames of Frame Streams.
constexpr std::uint32_t kAccept = 1, kStart = 2, kStop = 3, kReady = 4, kFinish = 5;

/// Listens at `path`. Everything waits for 5 s at most.
class Collector {
 public:
  explicit Collector(const std::string& path) : listener_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ::unlink(path.c_str());
    EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 4), 0);
    limit(listener_);
  }
  ~Collector() {
    hang_up();
    ::close(listener_);
  }
  void accept() {
    peer_ = ::accept(listener_, nullptr, nullptr);
    ASSERT_GE(peer_, 0);
    limit(peer_);
  }
  /// Accepts a connection and agrees on the content.
  void agree() {
    accept();
    EXPECT_EQ(control(), kReady);
    tell(kAccept, true);
    EXPECT_EQ(control(), kStart);
  }
  void hang_up() {
    if (peer_ >= 0) ::close(std::exchange(peer_, -1));
  }
  /// The type of the next frame, which is a control frame; 0 where it is none.
  std::uint32_t control() {
    if (number() != 0) return 0;
    const std::string octets = exactly(number());
    return octets.size() < 4 ? 0 : load_be32(reinterpret_cast<const std::uint8_t*>(octets.data()));
  }
  void tell(std::uint32_t type, bool content) {
    std::string frame;
    if (content) {
      add(frame, 1);
      add(frame, static_cast<std::uint32_t>(kDnstapContentType.size()));
      frame += kDnstapContentType;
    }
    std::string octets;
    add(octets, 0);
    add(octets, static_cast<std::uint32_t>(frame.size() + 4));
    add(octets, type);
    octets += frame;
    EXPECT_EQ(::send(peer_, octets.data(), octets.size(), MSG_NOSIGNAL), static_cast<ssize_t>(octets.size()));
  }
  /// The query's port, of the next data frame; 0 where there is none.
  std::uint32_t next_port() {
    const std::uint32_t length = number();
    if (length == 0) return 0;
    const std::string octets = exactly(length);
    protozero::pbf_reader whole(octets);
    if (!whole.next(14)) return 0;
    protozero::pbf_reader message = whole.get_message();
    return message.next(6) ? message.get_uint32() : 0;
  }

 private:
  static void limit(int fd) {
    const timeval most{5, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
  }
  static void add(std::string& to, std::uint32_t number) {
    std::uint8_t octets[4];
    store_be32(octets, number);
    to.append(reinterpret_cast<const char*>(octets), 4);
  }
  std::string exactly(std::size_t count) {
    std::string octets(count, '\0');
    if (::recv(peer_, octets.data(), count, MSG_WAITALL) != static_cast<ssize_t>(count)) return {};
    return octets;
  }
  std::uint32_t number() {
    const std::string octets = exactly(4);
    return octets.empty() ? ~0u : load_be32(reinterpret_cast<const std::uint8_t*>(octets.data()));
  }

  int listener_, peer_ = -1;
};

class QueryStreamTest : public ::testing::Test {
 protected:
  QueryStreamTest() {
    std::string name = (std::filesystem::temp_directory_path() / "shunt-dnstap-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    path_ = (folder_ / "socket").string();
    stream_.emplace(path_, DnstapSource{"host", "shunt"}, counts_);
  }
  ~QueryStreamTest() override {
    stream_.reset();
    std::filesystem::remove_all(folder_);
  }
  void take(std::uint16_t port, std::size_t octets = 100) {
    const std::vector<std::uint8_t> message(octets);
    QueryRecord record;
    record.client.port = port;
    record.end = state::QueryEnd::kCache;
    record.message = message;
    stream_->take(record);
  }

  std::filesystem::path folder_;
  std::string path_;
  QueryLogCounts counts_;
  std::optional<QueryStream> stream_;
};

TEST_F(QueryStreamTest, FramesArriveInOrderAndTheEndIsAnEnd) {
  Collector collector(path_);
  std::thread reader([&] {
    collector.agree();
    for (std::uint16_t port = 1; port <= 200; ++port)
      ASSERT_EQ(collector.next_port(), port);
    EXPECT_EQ(collector.control(), kStop);
    collector.tell(kFinish, false);
  });
  for (std::uint16_t port = 1; port <= 200; ++port)
    take(port);
  stream_->flush();
  EXPECT_EQ(counts_.written, 200u);
  stream_.reset();
  reader.join();
}

TEST_F(QueryStreamTest, ASlowCollectorGetsAll) {
  Collector collector(path_);
  std::thread reader([&] {
    collector.agree();
    for (std::uint16_t port = 1; port <= 2000; ++port) {
      if (port % 500 == 0) std::this_thread::sleep_for(50ms);
      ASSERT_EQ(collector.next_port(), port);
    }
  });
  for (std::uint16_t port = 1; port <= 2000; ++port)
    take(port, 1400);
  stream_->flush();
  reader.join();
  EXPECT_EQ(counts_.written, 2000u);
  EXPECT_EQ(counts_.lost, 0u);
  collector.hang_up();
}

TEST_F(QueryStreamTest, OneThatIsLateOrGoesAwayIsFoundAgain) {
  take(1);
  EXPECT_EQ(counts_.lost, 1u);
  Collector collector(path_);
  take(2);
  EXPECT_EQ(counts_.lost, 2u) << "not before a second has passed";
  for (std::uint16_t round = 0; round < 2; ++round) {
    std::this_thread::sleep_for(QueryStream::kRetry + 50ms);
    std::thread reader([&] {
      collector.agree();
      EXPECT_EQ(collector.next_port(), 3);
      collector.hang_up();
    });
    const std::uint64_t written = counts_.written, lost = counts_.lost;
    take(3);
    stream_->flush();
    reader.join();
    EXPECT_EQ(counts_.written, written + 1);
    take(4);
    stream_->flush();
    EXPECT_EQ(counts_.lost, lost + 1);
  }
}

TEST_F(QueryStreamTest, OneThatHangsIsLeft) {
  Collector collector(path_);
  const auto began = QueryStream::Clock::now();
  take(1);  // nobody accepts, nobody answers
  EXPECT_EQ(counts_.lost, 1u);
  EXPECT_LT(QueryStream::Clock::now() - began, 3s);
}

TEST_F(QueryStreamTest, OneThatStopsReadingIsLeft) {
  Collector collector(path_);
  std::thread reader([&] { collector.agree(); });
  take(1);
  reader.join();
  const auto began = QueryStream::Clock::now();
  for (std::uint16_t port = 2; port <= 2000; ++port)
    take(port, 1400);
  stream_->flush();
  EXPECT_LT(QueryStream::Clock::now() - began, 5s);
  EXPECT_GT(counts_.lost, 0u);
  EXPECT_EQ(counts_.written + counts_.lost, 2000u);
}

}  // namespace
}  // namespace shunt::control
