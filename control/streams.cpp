// TCP clients: their queries go to a worker and take the pipeline that all queries take; its answers come
// back by ticket.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "control/control.h"
#include "control/endpoint.h"
#include "control/whole_answer.h"
#include "dataplane/dns/edns.h"
#include "dataplane/dns/reply.h"

namespace shunt::control {
namespace {

constexpr int kBacklog = 512;
constexpr std::uint32_t kAgainTimeoutMs = 2000;

Failure errno_failure(const std::string& what) {
  return Failure(what + ": " + std::strerror(errno));
}

Result<int> make_listener(const SocketAddress& address) {
  const auto endpoint = to_endpoint<asio::ip::tcp>(address);
  FileDescriptor fd(
      ::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
  if (!fd) return errno_failure("cannot make a socket");
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!address.address.is_v4()) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (::bind(fd.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) != 0) {
    return errno_failure("cannot bind TCP " + address.to_string());
  }
  if (::listen(fd.get(), kBacklog) != 0) return errno_failure("cannot listen at TCP " + address.to_string());
  return fd.release();
}

// An address of the endpoint: what names it across generations.
IpAddress address_of(const Generation& generation, std::uint16_t endpoint) {
  for (const TcpEndpoint& e : generation.tcp_endpoints) {
    if (e.endpoint == endpoint) return e.address.address;
  }
  return {};
}

bool is_truncated(std::span<const std::uint8_t> answer) {
  return answer.size() >= dns::kHeaderSize && (load_be16(&answer[dns::kFlagsOffset]) & dns::kTc) != 0;
}

// SERVFAIL in place of a truncated answer that could not be had whole.
std::vector<std::uint8_t> failure_instead(std::span<const std::uint8_t> answer) {
  std::vector<std::uint8_t> wire = question_again(answer);
  dns::Question question;
  if (dns::parse_query(wire, question) != dns::QueryVerdict::kGood) return {};
  wire.resize(wire.size() + dns::kOptSize + dns::kExtendedErrorSize);
  const std::size_t length = dns::make_reply(
      wire.data(), wire.size(), question,
      {.rcode = dns::Rcode::kServFail, .error = dns::ExtendedError::kNoReachableAuthority, .stream = true});
  wire.resize(length);
  return wire;
}

}  // namespace

TcpServer::Owner Control::tcp_owner() {
  return {[this](const SocketAddress& address) { return open_listener(address); },
          [this](std::uint16_t endpoint, const IpAddress& client) {
            const auto& endpoints = generation_->snapshot->endpoints;
            return endpoint < endpoints.size() && endpoints[endpoint].allow.contains(client);
          },
          [this](TcpTicket ticket, const SocketAddress& client, std::uint16_t endpoint,
                 std::span<const std::uint8_t> message) {
            return take_stream_query(ticket, client, endpoint, message);
          },
          [this](const TcpAnswered& answered) { log_stream(answered); }};
}

Result<int> Control::open_listener(const SocketAddress& address) {
  return mirrors_->where().run([&] { return make_listener(address); });
}

Result<int> Control::open_in_mirror(int family, int type) {
  return mirrors_->where().run([&]() -> Result<int> {
    const int fd = ::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return errno_failure("cannot make a socket");
    return fd;
  });
}

bool Control::take_stream_query(TcpTicket ticket, const SocketAddress& client, std::uint16_t endpoint,
                                std::span<const std::uint8_t> message) {
  rte_mbuf* packet = crossing_->make_packet(message);
  if (packet == nullptr) return false;
  Message& order = message_of(packet);
  order.kind = MessageKind::kQuery;
  order.ticket = ticket;
  order.client = client;
  order.local = address_of(*generation_, endpoint);
  return crossing_->order(ticket % workers_->size(), packet);
}

void Control::take_reply(const Message& message, std::span<const std::uint8_t> answer) {
  if ((message.ticket & kAskTicket) != 0) return health_->take_reply(message.ticket, answer);
  if ((message.ticket & kAliasTicket) != 0) return zones_->take_reply(message, answer);
  if (answer.empty()) return tcp_->drop(message.ticket);
  if (const auto end = state::end_of(message.counted); end && logging_queries_)
    tcp_->note_end(message.ticket, *end);
  if (message.truncated_by.port != 0) return ask_again_over_tcp(message, answer);
  if (message.zone && is_truncated(answer)) {
    // Too large for a worker, not for TCP.
    return zones_->answer_whole(message.ticket % workers_->size(), message, question_again(answer));
  }
  tcp_->answer(message.ticket, answer);
}

void Control::log_stream(const TcpAnswered& answered) {
  if (!logging_queries_) return;
  query_log_->take({answered.asked,
                    std::chrono::steady_clock::now(),
                    answered.client,
                    answered.server,
                    answered.kind,
                    answered.end,
                    {answered.message.begin(), answered.message.end()}});
}

bool Control::take_miss(std::size_t worker, rte_mbuf* packet) {
  if (!message_of(packet).zone) return misses_->decide(worker, packet);
  zones_->answer(worker, message_of(packet),
                 {rte_pktmbuf_mtod(packet, const std::uint8_t*), packet->data_len});
  return false;
}

void Control::open_zones() {
  zones_.emplace(
      *crossing_, key_,
      [this](std::uint64_t ticket, std::span<const std::uint8_t> answer) {
        answer.empty() ? tcp_->drop(ticket) : tcp_->answer(ticket, answer);
      },
      [this](const Message& message, std::span<const std::uint8_t> truncated,
             const Zones::WholeAnswer& done) { ask_whole(message, truncated, done); });
}

// Asks again who cut `answer`, or whose answer no packet holds; over TCP, or as its upstream says.
void Control::ask_whole(const Message& message, std::span<const std::uint8_t> answer,
                        const Zones::WholeAnswer& done) {
  std::vector<std::uint8_t> question = question_again(answer);
  const bool asked = !question.empty() && streams_->knows(message.target_id, message.truncated_by) &&
                     streams_->ask({message.target_id}, std::move(question), kAgainTimeoutMs, 1,
                                   [done](Result<UpstreamStreams::Answer> whole) {
                                     if (!whole) return done(Failure(whole.error()));
                                     done(std::move(whole->message));
                                   });
  if (!asked) done(Failure("it can't be asked again"));
}

// A stream client can take the answer whole.
void Control::ask_again_over_tcp(const Message& message, std::span<const std::uint8_t> answer) {
  const TcpTicket ticket = message.ticket;
  std::vector<std::uint8_t> cut(answer.begin(), answer.end());
  ask_whole(message, answer, [this, ticket, cut = std::move(cut)](Result<std::vector<std::uint8_t>> whole) {
    std::vector<std::uint8_t> wire;
    if (whole) wire = whole_for_client(cut, *whole);
    if (wire.empty()) wire = failure_instead(cut);
    wire.empty() ? tcp_->drop(ticket) : tcp_->answer(ticket, wire);
  });
}

}  // namespace shunt::control
