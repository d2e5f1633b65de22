// What a client may send to the control plane's own sockets: request lines, HTTP heads, TCP streams of DNS
// messages.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "control/metrics_listener.h"
#include "control/socket.h"
#include "control/tcp_framing.h"
#include "tests/fuzz/require.h"

namespace {

using shunt::control::TcpFraming;
using shunt::testing::require;
using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kDepth = 16;

std::size_t depth_of(const nlohmann::json& value) {
  if (!value.is_structured()) return 0;
  std::size_t deepest = 0;
  for (const auto& item : value)
    deepest = std::max(deepest, depth_of(item));
  return deepest + 1;
}

void try_request(std::string_view line) {
  const auto request = shunt::control::parse_request(line, kDepth);
  if (!request) {
    require(!request.error().empty());
    return;
  }
  require(request->is_object() && request->at("command").is_string());
  require(depth_of(*request) <= kDepth);
}

void try_http(std::string_view head) {
  const unsigned status = shunt::control::metrics_request_status(head);
  require(status == 200 || status == 400 || status == 404 || status == 405);
  if (status == 200) require(head.starts_with("GET /metrics") || head.starts_with("HEAD /metrics"));
}

struct Cut {
  std::vector<Bytes> messages;
  bool bad = false;
  friend bool operator==(const Cut&, const Cut&) = default;
};

/// The whole stream at once: what framing must come to, however the stream arrives.
Cut cut_whole(std::span<const std::uint8_t> stream) {
  Cut out;
  while (stream.size() >= 2) {
    const std::size_t length = shunt::load_be16(stream.data());
    if (length < 12 || length > shunt::kMaxMessage) {
      out.bad = true;
      return out;
    }
    if (stream.size() < 2 + length) return out;
    const auto message = stream.subspan(2, length);
    out.messages.emplace_back(message.begin(), message.end());
    stream = stream.subspan(2 + length);
  }
  return out;
}

/// The stream in pieces of sizes that `sizes` tells.
Cut cut_pieces(std::span<const std::uint8_t> stream, std::span<const std::uint8_t> sizes) {
  Cut out;
  const auto framing = std::make_unique<TcpFraming>();
  for (std::size_t turn = 0; !stream.empty(); ++turn) {
    const std::span<std::uint8_t> room = framing->room();
    require(!room.empty());
    const std::size_t wanted = sizes.empty() ? 1 : std::size_t{sizes[turn % sizes.size()]} * 16 + 1;
    const std::size_t taken = std::min({wanted, room.size(), stream.size()});
    std::copy_n(stream.begin(), taken, room.begin());
    framing->added(taken);
    stream = stream.subspan(taken);
    TcpFraming::Query query;
    while (framing->next(query) == TcpFraming::Next::kQuery) {
      out.messages.emplace_back(query.message.begin(), query.message.end());
    }
    out.bad = framing->fault() == TcpFraming::Fault::kBadLength;
    if (out.bad) break;
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::span<const std::uint8_t> rest(data + 1, size - 1);
  const std::string_view text(reinterpret_cast<const char*>(rest.data()), rest.size());
  switch (data[0] % 3) {
    case 0:
      try_request(text);
      break;
    case 1:
      try_http(text);
      break;
    default: {
      const std::size_t sizes = std::min<std::size_t>(rest.size(), 4);
      require(cut_pieces(rest.subspan(sizes), rest.first(sizes)) == cut_whole(rest.subspan(sizes)));
    }
  }
  return 0;
}
