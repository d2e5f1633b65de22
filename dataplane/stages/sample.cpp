// Queries drawn by chance, for the control plane to tell who is busy.
#include "dataplane/stages/stages.h"

namespace shunt {

void sample_queries(Context& context, const Burst& burst) {
  state::QuerySampleRing& ring = *context.sampled->rings[context.worker];
  ring.note(burst.live, context.now.us);
  for (unsigned n = 0; n < burst.live; ++n) {
    const Query& q = burst.query[burst.alive[n]];
    if (q.transport == state::Transport::kAlias) continue;  // nobody asked for that name
    if (ring.due()) ring.push(q.frame.source, q.question.name, context.random);
  }
}

}  // namespace shunt
