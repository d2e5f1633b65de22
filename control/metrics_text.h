// Pieces of the Prometheus text format 0.0.4.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

namespace shunt::control {

using Out = std::back_insert_iterator<std::string>;

/// HELP and TYPE of a metric.
void head(Out out, std::string_view name, std::string_view type, std::string_view help);

/// The lines of one histogram whose values are in units of 1 / `per_unit`. `label`, of the form name="value",
/// may be empty.
template <typename Values>
void histogram_rows(Out out, std::string_view name, std::string_view label, const Values& values,
                    double per_unit) {
  const std::string_view comma = label.empty() ? "" : ",";
  const std::string braced = label.empty() ? "" : fmt::format("{{{}}}", label);
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < Values::kBounds.size(); ++i) {
    below += values.buckets[i];
    fmt::format_to(out, "{}_bucket{{{}{}le=\"{}\"}} {}\n", name, label, comma, Values::kBounds[i] / per_unit,
                   below);
  }
  const std::uint64_t count = values.count();
  fmt::format_to(out, "{}_bucket{{{}{}le=\"+Inf\"}} {}\n", name, label, comma, count);
  fmt::format_to(out, "{}_sum{} {}\n", name, braced, static_cast<double>(values.sum) / per_unit);
  fmt::format_to(out, "{}_count{} {}\n", name, braced, count);
}

}  // namespace shunt::control
