// A worker's answer to a stream client that was cut, because no packet holds it or a target cut it: how it is
// asked for again, and how the whole one is made the client's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace shunt::control {

/// The question of the cut answer, as it is asked again: flags of a query, the client's spelling, our own OPT
/// where the client has one, with the client's options for the far end, which the worker left in the cut
/// answer. Empty where that is malformed.
std::vector<std::uint8_t> question_again(std::span<const std::uint8_t> cut);

/// The target's whole answer, as the client of the cut one is to get it (RFC 6891 section 6.1.1: an OPT
/// concerns two hops): id, RD, CD and question as there, RA set, Z clear, AD only where the client can have
/// asked for it; our own OPT where the client has one, in place of the target's, of whose options only those
/// for the far end stay, and only for a client that sent such. Empty where `whole` is no answer to that
/// question.
std::vector<std::uint8_t> whole_for_client(std::span<const std::uint8_t> cut,
                                           std::span<const std::uint8_t> whole);

}  // namespace shunt::control
