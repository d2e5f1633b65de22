#include "dataplane/handoff.h"

#include <rte_errno.h>

#include <cstdio>
#include <string>

namespace shunt {
namespace {

rte_ring* make_ring(const char* what, unsigned worker, unsigned size, unsigned flags) {
  char name[RTE_RING_NAMESIZE];
  std::snprintf(name, sizeof name, "%s-%u", what, worker);
  return rte_ring_create(name, size, SOCKET_ID_ANY, flags);
}

void drain(rte_ring*& ring) {
  if (ring == nullptr) return;
  void* packet = nullptr;
  while (rte_ring_dequeue(ring, &packet) == 0)
    rte_pktmbuf_free(static_cast<rte_mbuf*>(packet));
  rte_ring_free(ring);
  ring = nullptr;
}

}  // namespace

Result<Rings> Rings::create(unsigned worker) {
  constexpr unsigned kOneToOne = RING_F_SP_ENQ | RING_F_SC_DEQ;
  Rings r;
  r.neighbours = make_ring("neighbours", worker, kNeighbours, kOneToOne);
  r.frames = make_ring("frames", worker, kFrames, kOneToOne);
  r.events = make_ring("events", worker, kEvents, kOneToOne);
  r.watched = make_ring("watched", worker, kWatched, kOneToOne);
  r.orders = make_ring("orders", worker, kOrders, kOneToOne);
  r.handovers = make_ring("handovers", worker, kHandovers, RING_F_SC_DEQ);
  for (const rte_ring* ring : {r.neighbours, r.frames, r.events, r.watched, r.orders, r.handovers}) {
    if (ring != nullptr) continue;
    const std::string why = rte_strerror(rte_errno);
    r.destroy();
    return Failure("cannot make the rings of worker " + std::to_string(worker) + ": " + why);
  }
  return r;
}

void Rings::destroy() {
  for (rte_ring** ring : {&neighbours, &frames, &events, &watched, &orders, &handovers})
    drain(*ring);
}

}  // namespace shunt
