#include "control/socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <fstream>
#include <optional>

#include "tests/unit/control/loopback.h"

namespace shunt::control {
namespace {

using namespace shunt::testing;
using nlohmann::json;
using std::chrono::milliseconds;

TEST(ParseRequest, TakesAnObjectWithACommand) {
  const auto request =
      parse_request(R"({"command": "explain", "name": "a.\"{[\\", "x": [1, {"y": null}]})", 16);
  ASSERT_TRUE(request) << request.error();
  EXPECT_EQ((*request)["command"], "explain");
}

TEST(ParseRequest, RefusesEverythingElse) {
  for (const char* line :
       {"", " ", "{", "garbage", "null", "42", "\"command\"", "[]", "{}", R"({"command": 1})",
        R"({"command": "a"} x)", R"({"command": "a")", "\xff\xfe", R"({"command": "\ud800"})"}) {
    const auto request = parse_request(line, 16);
    ASSERT_FALSE(request) << line;
    EXPECT_FALSE(request.error().empty());
  }
}

TEST(ParseRequest, BoundsNesting) {
  const auto nested = [](std::size_t depth) {
    return R"({"command": "a", "x": )" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  EXPECT_TRUE(parse_request(nested(16), 16));
  EXPECT_FALSE(parse_request(nested(17), 16));
  EXPECT_FALSE(parse_request(std::string(60000, '['), 16));
  EXPECT_FALSE(parse_request(std::string(60000, '{'), 16));
  // Brackets in strings are no nesting, and an escaped quote ends no string.
  EXPECT_TRUE(parse_request(R"({"command": "[[[[[[[[\"[[[[[[[[[[[["})", 16));
}

class ControlSocketTest : public ::testing::Test {
 protected:
  ControlSocketTest() { options_.path = folder_ / "control.sock"; }

  void open() {
    auto opened = ControlSocket::open(io_, options_, [this](const json& request, ControlSocket::Done done) {
      requests_.push_back(request);
      if (request["command"] == "later") {
        later_.push_back(done);
      } else if (request["command"] == "throw") {
        throw std::runtime_error("thrown");
      } else if (request["command"] == "type") {
        done(ok_reply(request["number"].get<int>()));
      } else if (request["command"] == "large") {
        done(ok_reply(std::string(8u << 20, 'x')));
      } else {
        done(ok_reply(request));
      }
    });
    ASSERT_TRUE(opened) << opened.error();
    socket_ = *std::move(opened);
  }
  Peer connect() { return Peer::local(options_.path); }
  bool run(auto condition) { return run_until(io_, condition); }
  bool line(Peer& peer) {
    return run([&] { return peer.poll() && peer.received.find('\n') != std::string::npos; });
  }
  json reply(Peer& peer) {
    if (!line(peer)) return "nothing came";
    const std::size_t end = peer.received.find('\n');
    const json out = json::parse(peer.received.substr(0, end), nullptr, false);
    peer.received.erase(0, end + 1);
    return out;
  }
  bool ended(Peer& peer) {
    return run([&] { return peer.poll() && peer.ended; });
  }

  TemporaryFolder folder_;
  asio::io_context io_;
  ControlSocket::Options options_;
  std::unique_ptr<ControlSocket> socket_;
  std::vector<json> requests_;
  std::vector<ControlSocket::Done> later_;
};

TEST_F(ControlSocketTest, AnswersALineWithALine) {
  open();
  Peer peer = connect();
  peer.send("{\"command\": \"echo\", \"x\": 1}\n");
  EXPECT_EQ(reply(peer), json::parse(R"({"ok": true, "result": {"command": "echo", "x": 1}})"));
  peer.send("{\"command\": \"echo\", \"x\": 2}\n");
  EXPECT_EQ(reply(peer)["result"]["x"], 2);
}

TEST_F(ControlSocketTest, TakesSplitAndPipelinedLines) {
  open();
  Peer peer = connect();
  for (const char c : std::string("{\"command\": \"echo\"}\n")) {
    peer.send(std::string(1, c));
    run_for(io_, milliseconds(1));
  }
  EXPECT_EQ(reply(peer)["ok"], true);
  peer.send("{\"command\": \"a\"}\n{\"command\": \"b\"}\ngarbage\n{\"command\": \"c\"}\n");
  EXPECT_EQ(reply(peer)["result"]["command"], "a");
  EXPECT_EQ(reply(peer)["result"]["command"], "b");
  EXPECT_EQ(reply(peer)["ok"], false);
  EXPECT_EQ(reply(peer)["result"]["command"], "c");
}

TEST_F(ControlSocketTest, GarbageIsAnsweredByAnErrorAndTheNextRequestIsTaken) {
  open();
  Peer peer = connect();
  for (const std::string& line : {std::string("\xff\x00\x01", 3), std::string("{"), std::string(1000, '['),
                                  std::string("[]"), std::string("{\"command\": {}}")}) {
    peer.send(line + "\n");
    const json out = reply(peer);
    EXPECT_EQ(out["ok"], false);
    EXPECT_TRUE(out["error"].is_string());
  }
  peer.send("{\"command\": \"echo\"}\n");
  EXPECT_EQ(reply(peer)["ok"], true);
  EXPECT_EQ(socket_->counters()[ControlCounter::requests_bad], 5u);
  EXPECT_EQ(socket_->counters()[ControlCounter::requests], 1u);
}

TEST_F(ControlSocketTest, AnEndlessLineIsCutOffEarly) {
  open();
  Peer peer = connect();
  const std::string block(65536, 'a');
  std::size_t sent = 0;
  const bool over = run([&] {
    sent += peer.send(block);
    return peer.poll() && peer.ended;
  });
  EXPECT_TRUE(over);
  // What was taken is the limit, and what fits the kernel's buffers.
  EXPECT_LT(sent, 4u << 20);
  EXPECT_EQ(socket_->clients(), 0u);
  EXPECT_EQ(socket_->counters()[ControlCounter::requests_bad], 1u);
}

TEST_F(ControlSocketTest, HalfARequestTimesOut) {
  options_.idle_ms = 50;
  open();
  Peer half = connect(), idle = connect();
  half.send("{\"command\": ");
  EXPECT_TRUE(ended(half));
  EXPECT_TRUE(ended(idle));
  EXPECT_EQ(socket_->clients(), 0u);
  EXPECT_EQ(socket_->counters()[ControlCounter::timeouts], 2u);
}

TEST_F(ControlSocketTest, ARequestThatIsWorkedOnDoesNotTimeOut) {
  options_.idle_ms = 50;
  open();
  Peer peer = connect();
  peer.send("{\"command\": \"later\"}\n");
  ASSERT_TRUE(run([&] { return later_.size() == 1; }));
  run_for(io_, milliseconds(120));
  later_[0](ok_reply("done"));
  EXPECT_EQ(reply(peer)["result"], "done");
}

TEST_F(ControlSocketTest, AReplyThatIsNotReadTimesOut) {
  options_.idle_ms = 80;
  open();
  Peer peer = connect();
  peer.send("{\"command\": \"large\"}\n");
  EXPECT_TRUE(run([&] { return socket_->clients() == 1; }));
  EXPECT_TRUE(run([&] { return socket_->clients() == 0; }));
}

TEST_F(ControlSocketTest, LargeRepliesArriveWhole) {
  open();
  Peer peer = connect();
  peer.send("{\"command\": \"large\"}\n");
  EXPECT_EQ(reply(peer)["result"].get<std::string>().size(), 8u << 20);
}

TEST_F(ControlSocketTest, WhatTheHandlerThrowsIsAnErrorReply) {
  open();
  Peer peer = connect();
  peer.send("{\"command\": \"throw\"}\n{\"command\": \"type\", \"number\": \"x\"}\n");
  EXPECT_EQ(reply(peer), error_reply("thrown"));
  EXPECT_EQ(reply(peer)["ok"], false);
}

TEST_F(ControlSocketTest, OneReplyPerRequestAndNoneToTheDead) {
  open();
  Peer peer = connect(), gone = connect();
  peer.send("{\"command\": \"later\"}\n");
  ASSERT_TRUE(run([&] { return later_.size() == 1; }));
  gone.send("{\"command\": \"later\"}\n");
  ASSERT_TRUE(run([&] { return later_.size() == 2; }));
  gone.close();
  later_[0](ok_reply(1));
  later_[0](ok_reply(2));
  later_[1](ok_reply(3));
  EXPECT_EQ(reply(peer)["result"], 1);
  peer.send("{\"command\": \"later\"}\n");
  ASSERT_TRUE(run([&] { return later_.size() == 3; }));
  later_[0](ok_reply(4));
  later_[2](ok_reply(5));
  EXPECT_EQ(reply(peer)["result"], 5);
  peer.send("{\"command\": \"later\"}\n");
  ASSERT_TRUE(run([&] { return later_.size() == 4; }));
  socket_.reset();
  later_[3](ok_reply(6));
  run_for(io_, milliseconds(10));
  EXPECT_TRUE(ended(peer));
  EXPECT_TRUE(peer.received.empty());
}

TEST_F(ControlSocketTest, TextThatIsNoUtf8IsReplacedInReplies) {
  open();
  Peer peer = connect();
  peer.send("{\"command\": \"later\"}\n");
  ASSERT_TRUE(run([&] { return later_.size() == 1; }));
  later_[0](error_reply("bad \xff octet"));
  EXPECT_EQ(reply(peer)["error"], "bad \xef\xbf\xbd octet");
}

TEST_F(ControlSocketTest, AThousandClientsLeaveRoomAgain) {
  options_.clients = 4;
  options_.idle_ms = 100;
  open();
  {
    std::vector<Peer> crowd;
    for (int i = 0; i < 1000; ++i) {
      crowd.push_back(connect());
      if (i % 20 == 0) run_for(io_, milliseconds(2));  // the backlog is bounded too
      EXPECT_LE(socket_->clients(), 4u);
    }
    EXPECT_GT(socket_->counters()[ControlCounter::clients_refused], 900u);
  }
  ASSERT_TRUE(run([&] { return socket_->clients() == 0; }));
  Peer peer = connect();
  peer.send("{\"command\": \"echo\"}\n");
  EXPECT_EQ(reply(peer)["ok"], true);
}

TEST_F(ControlSocketTest, TheFileIsForTheOwnerAndTheGroup) {
  const mode_t before = ::umask(0);
  open();
  ::umask(before);
  struct stat status {};
  ASSERT_EQ(::stat(options_.path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0660u);
  socket_.reset();
  EXPECT_NE(::stat(options_.path.c_str(), &status), 0);
  ::umask(0777);
  open();
  ::umask(before);
  ASSERT_EQ(::stat(options_.path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0660u);
}

TEST_F(ControlSocketTest, MakesItsFolder) {
  options_.path = folder_ / "run" + "/control.sock";
  open();
  Peer peer = connect();
  peer.send("{\"command\": \"echo\"}\n");
  EXPECT_EQ(reply(peer)["ok"], true);
}

/// A socket file nobody listens at any more, as a daemon leaves it that was killed.
void leave_stale_socket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(fd, 1), 0);
  ::close(fd);
}

TEST_F(ControlSocketTest, AStaleSocketIsTakenOver) {
  leave_stale_socket(options_.path);
  std::ofstream(options_.path + ".lock") << "";
  open();
  Peer peer = connect();
  peer.send("{\"command\": \"echo\"}\n");
  EXPECT_EQ(reply(peer)["ok"], true);
}

TEST_F(ControlSocketTest, ALiveDaemonsSocketIsRefused) {
  open();
  const auto second = ControlSocket::open(io_, options_, [](const json&, const ControlSocket::Done&) {});
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().find("another shuntd is running"), std::string::npos) << second.error();
  Peer peer = connect();
  peer.send("{\"command\": \"echo\"}\n");
  EXPECT_EQ(reply(peer)["ok"], true);
}

TEST_F(ControlSocketTest, SomebodyElsesLiveSocketIsRefusedWithoutALockToo) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, options_.path.c_str(), options_.path.size() + 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(fd, 1), 0);
  const auto opened = ControlSocket::open(io_, options_, [](const json&, const ControlSocket::Done&) {});
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().find("answers"), std::string::npos) << opened.error();
  ::close(fd);
  open();  // the lock was let go
}

TEST_F(ControlSocketTest, PathsThatCannotBeASocketAreErrors) {
  std::ofstream(options_.path) << "precious";
  const auto file = ControlSocket::open(io_, options_, [](const json&, const ControlSocket::Done&) {});
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().find("no socket"), std::string::npos);
  for (const std::string& path : {std::string(), folder_ / std::string(200, 'x'), folder_ / "a/b/c.sock"}) {
    options_.path = path;
    EXPECT_FALSE(ControlSocket::open(io_, options_, [](const json&, const ControlSocket::Done&) {})) << path;
  }
}

}  // namespace
}  // namespace shunt::control
