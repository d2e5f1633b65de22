// Frames that a capture wants, copied on their way in and out.
#include <rte_mbuf.h>

#include <algorithm>

#include "dataplane/net/datagram.h"
#include "dataplane/stages/stages.h"

namespace shunt {
namespace {

/// Whether the message's question is for the suffix or a name below it.
bool is_below(std::span<const std::uint8_t> message, const dns::Name& suffix) {
  dns::Name name;
  if (message.size() <= dns::kHeaderSize || dns::read_name(message.subspan(dns::kHeaderSize), name) == 0)
    return false;
  if (name.labels < suffix.labels) return false;
  const std::size_t begin = name.offset[name.labels - suffix.labels];
  return std::equal(suffix.wire.begin(), suffix.wire.begin() + suffix.length, name.wire.begin() + begin,
                    name.wire.begin() + name.length);
}

bool is_wanted(std::span<const std::uint8_t> frame, const state::CaptureFilter& filter) {
  net::Datagram datagram;
  if (!net::find_datagram(frame, datagram)) return false;
  if (filter.client && datagram.source != *filter.client && datagram.destination != *filter.client)
    return false;
  return !filter.suffix || is_below(datagram.payload, *filter.suffix);
}

}  // namespace

void capture(Context& context, std::uint8_t port, rte_mbuf* const* packets, unsigned count, bool sent) {
  const state::Capture& running = *context.capture;
  state::CaptureRing& ring = *running.rings[context.worker];
  const unsigned looks = ring.may_look(count, context.now.us);
  for (unsigned i = 0; i < looks; ++i) {
    const std::span<const std::uint8_t> frame(rte_pktmbuf_mtod(packets[i], const std::uint8_t*),
                                              packets[i]->data_len);
    if (is_wanted(frame, running.filter)) ring.push(frame, context.now.us, port, sent);
  }
}

}  // namespace shunt
