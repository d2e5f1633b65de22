// What a client of DNS over HTTPS may send behind HTTP/2's preface, in pieces of any size, while its queries
// are answered, dropped or left alone.
#include <algorithm>
#include <cstdint>
#include <set>
#include <span>
#include <string_view>
#include <vector>

#include "control/https_protocol.h"
#include "dataplane/base/limits.h"
#include "tests/fuzz/require.h"

namespace {

using shunt::control::HttpsProtocol;
using shunt::testing::require;

constexpr std::uint32_t kStreams = 8;

/// One connection: the first octets of the input decide what becomes of its queries.
class Connection {
 public:
  explicit Connection(std::span<const std::uint8_t> choices) : choices_(choices) {}

  void receive(std::span<const std::uint8_t> octets) {
    while (!octets.empty() && protocol_.fault() == HttpsProtocol::Fault::kNone) {
      const std::span<std::uint8_t> room = protocol_.room();
      require(!room.empty());
      const std::size_t taken = std::min({room.size(), octets.size(), std::size_t{choose() % 64 + 1u} * 16});
      std::copy_n(octets.begin(), taken, room.begin());
      protocol_.added(taken);
      octets = octets.subspan(taken);
      write();
      take();
    }
  }
  void end() {
    protocol_.finish();
    write();
    require(protocol_.kept() == 0 || protocol_.kept_since().has_value());
  }

 private:
  unsigned choose() { return choices_.empty() ? 0 : choices_[chosen_++ % choices_.size()]; }
  void write() {
    written_.clear();
    protocol_.output(written_);
  }
  void take() {
    HttpsProtocol::Query query;
    std::size_t most = 0;
    while (protocol_.next(query) == HttpsProtocol::Next::kQuery) {
      require(++most <= kStreams);
      require(query.message.size() >= 12 && query.message.size() <= shunt::kMaxMessage);
      require(query.tag != 0);
      std::vector<std::uint8_t> answer(query.message.begin(), query.message.end());
      answer.resize(std::max<std::size_t>(answer.size(), choose() * 200));
      answer[2] |= 0x80;
      switch (choose() % 3) {
        case 0:
          protocol_.answer(query.tag, answer);
          break;
        case 1:
          protocol_.drop(query.tag);
          break;
        default:
          break;
      }
      if (choose() % 5 == 0) protocol_.answer(query.tag + 2, answer);  // of nobody
      write();
    }
  }

  shunt::control::TcpCounters counters_;
  HttpsProtocol protocol_{"/dns-query", kStreams, counters_};
  std::span<const std::uint8_t> choices_;
  std::size_t chosen_ = 0;
  std::vector<std::uint8_t> written_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kChoices = 4;
  if (size < kChoices) return 0;
  static constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  const std::span<const std::uint8_t> input(data, size);
  Connection connection(input.first(kChoices));
  connection.receive({reinterpret_cast<const std::uint8_t*>(kPreface.data()), kPreface.size()});
  connection.receive(input.subspan(kChoices));
  connection.end();
  return 0;
}
