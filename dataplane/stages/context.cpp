#include "dataplane/stages/context.h"

namespace shunt {

Context::Context(const ContextOptions& options)
    : worker(options.worker),
      hash_key(options.hash_key),
      random(options.seed),
      cache(options.cache_memory),
      pending(options.pending_memory, options.pending_slots,
              state::SourcePorts(*options.owners, options.worker), random),
      owners(*options.owners),
      health(options.health),
      loops(options.loops),
      pool(options.pool),
      rings(options.rings),
      handovers(options.handovers),
      targets(std::make_unique<state::TargetStats[]>(kMaxTargets)),
      figures(std::make_unique<Figure[]>(kMaxFigures)),
      samples(std::make_unique<SampleRing>()) {}

void Context::take_sample(const void* set, rules::RuleIndex rule) {
  const std::uint32_t queries = sampler.rearm(random, samples->crowded());
  samples->push({set, rule, view->counted->epoch, queries});
}

}  // namespace shunt
