// The client's end of the control socket: one request, one reply, one connection.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <tl/expected.hpp>

namespace shunt::control::ctl {

/// Exit codes that scripts rely on.
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;
inline constexpr int kUnreachable = 69;
inline constexpr int kConfigWrong = 78;

/// Why there is no result: the exit code it earns, and the sentence for a person.
struct CallError {
  int code = kFailed;
  std::string text;
};

/// Keeps the order of the daemon's keys.
using Json = nlohmann::ordered_json;

/// Sends `request` to the daemon at `path` and returns its "result". Blocks, at most `timeout` in all; a
/// reply of more than 256 MiB is an error.
tl::expected<Json, CallError> call(const std::string& path, const nlohmann::json& request,
                                   std::chrono::milliseconds timeout);

}  // namespace shunt::control::ctl
