// A value, or the sentence that tells a person why there is none.
#pragma once

#include <string>
#include <tl/expected.hpp>

namespace shunt {

template <typename T>
using Result = tl::expected<T, std::string>;

using Failure = tl::unexpected<std::string>;

}  // namespace shunt
