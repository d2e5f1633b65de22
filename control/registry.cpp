#include "control/registry.h"

#include <algorithm>

#include "dataplane/base/limits.h"

namespace shunt::control {

Result<std::uint32_t> Registry::handle(const std::string& upstream) {
  if (const auto found = handles_.find(upstream); found != handles_.end()) return found->second;
  if (handles_.size() >= kMaxUpstreams) {
    return Failure("more than " + std::to_string(kMaxUpstreams) +
                   " different upstream names since the start: restart shuntd");
  }
  const auto handle = static_cast<std::uint32_t>(handles_.size());
  handles_.emplace(upstream, handle);
  return handle;
}

state::Origin Registry::origin(const conf::Upstream& upstream, const std::vector<IpAddress>& sources) {
  // What a cached answer depends on: the order in which addresses were written is not part of it.
  std::string tls_name = upstream.tls_name;
  std::transform(tls_name.begin(), tls_name.end(), tls_name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  OriginKey key{sources,          upstream.targets,  upstream.ttl.min,
                upstream.ttl.max, upstream.protocol, std::move(tls_name)};
  std::sort(std::get<0>(key).begin(), std::get<0>(key).end());
  std::sort(std::get<1>(key).begin(), std::get<1>(key).end());
  const auto [entry, fresh] = origins_.try_emplace(key, next_origin_);
  if (fresh) ++next_origin_;
  return entry->second;
}

Result<std::uint32_t> Registry::target(std::uint64_t generation, const std::string& upstream,
                                       const SocketAddress& address) {
  const auto key = std::make_pair(upstream, address);
  if (const auto found = targets_.find(key); found != targets_.end()) {
    found->second.generation = generation;
    return found->second.id;
  }
  if (next_target_ < kMaxTargets) {
    targets_.emplace(key, TargetEntry{next_target_, generation});
    return next_target_++;
  }
  const auto idle = std::find_if(targets_.begin(), targets_.end(),
                                 [&](const auto& t) { return t.second.generation + 2 < generation; });
  if (idle == targets_.end()) {
    return Failure("more than " + std::to_string(kMaxTargets) + " targets in this and the last generations");
  }
  const std::uint32_t id = idle->second.id;
  targets_.erase(idle);
  targets_.emplace(key, TargetEntry{id, generation});
  return id;
}

Result<std::shared_ptr<const TlsContext>> Registry::tls(const conf::Tls& tls) {
  std::erase_if(contexts_, [](const auto& context) { return context.expired(); });
  for (const auto& weak : contexts_) {
    if (auto context = weak.lock(); context != nullptr && context->serves(tls)) return context;
  }
  auto made = TlsContext::make(tls);
  if (made) contexts_.emplace_back(*made);
  return made;
}

}  // namespace shunt::control
