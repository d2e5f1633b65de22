// Random names that hit each other often: few labels to choose from, among them the awkward ones.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "dataplane/dns/name.h"

namespace shunt::rules::test {

class RandomNames {
 public:
  explicit RandomNames(std::uint64_t seed) : random_(seed) {
    using namespace std::string_literals;
    labels_ = {"a"s,
               "b"s,
               "A"s,
               "com"s,
               "Com"s,
               "example"s,
               "ex.ample"s,
               "a.b"s,
               "\0"s,
               "a\0b"s,
               "*"s,
               "\\"s,
               "\xff\x80"s,
               "[@{`"s,
               "UPPERlower"s,
               "www"s,
               "xn--bcher-kva"s,
               "_dns"s,
               std::string(63, 'z'),
               std::string(63, 'Z'),
               std::string(62, 'y'),
               std::string(15, 'q'),
               std::string(16, 'q'),
               std::string(17, 'q'),
               std::string(31, '\0'),
               std::string(7, 'c'),
               std::string(8, 'c')};
  }

  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  std::uint64_t any() { return random_(); }

  /// Up to `most` labels, mixed case, of any length that fits.
  std::vector<std::uint8_t> wire(unsigned most) {
    std::vector<std::uint8_t> out;
    const auto labels = static_cast<unsigned>(below(most + 1));
    for (unsigned i = 0; i < labels; ++i) {
      const std::string& label = labels_[below(labels_.size())];
      if (out.size() + label.size() + 2 > dns::kMaxName) break;
      add(out, label);
    }
    out.push_back(0);
    return out;
  }
  /// 127 labels, or 255 octets of long ones.
  std::vector<std::uint8_t> longest() {
    std::vector<std::uint8_t> out;
    if (below(2) == 0) {
      for (unsigned i = 0; i < dns::kMaxLabels; ++i)
        add(out, below(50) == 0 ? "b" : "a");
    } else {
      for (int i = 0; i < 3; ++i)
        add(out, std::string(63, 'z'));
      add(out, std::string(61, 'z'));
    }
    out.push_back(0);
    return out;
  }
  /// Labels of any octets and lengths, as many as there is room for: 255 octets in all, or one less.
  std::vector<std::uint8_t> filled() {
    std::vector<std::uint8_t> out;
    const std::uint64_t longest = below(2) == 0 ? 63 : 1 + below(8);
    for (std::size_t room; (room = dns::kMaxName - 1 - out.size()) >= 2;) {
      std::string label(1 + below(std::min<std::uint64_t>(longest, room - 1)), '\0');
      for (char& c : label)
        c = static_cast<char>(below(256));
      add(out, label);
    }
    out.push_back(0);
    return out;
  }
  /// `wire` with one octet of a label changed, in one bit.
  std::vector<std::uint8_t> damaged(std::vector<std::uint8_t> wire) {
    if (wire[0] == 0) return wire;
    std::size_t at = 0;
    while (wire[at + wire[at] + 1u] != 0 && below(3) != 0)
      at += wire[at] + 1u;
    wire[at + 1 + below(wire[at])] ^= static_cast<std::uint8_t>(1u << below(8));
    return wire;
  }
  /// `wire` with some labels more in front, where they fit.
  std::vector<std::uint8_t> below_name(const std::vector<std::uint8_t>& wire, unsigned most) {
    std::vector<std::uint8_t> out = this->wire(most);
    out.pop_back();
    if (out.size() + wire.size() > dns::kMaxName) return wire;
    out.insert(out.end(), wire.begin(), wire.end());
    return out;
  }
  /// `wire` without its first label.
  static std::vector<std::uint8_t> above(const std::vector<std::uint8_t>& wire) {
    if (wire[0] == 0) return wire;
    return {wire.begin() + wire[0] + 1, wire.end()};
  }
  /// Flips the case of some letters.
  std::vector<std::uint8_t> recased(std::vector<std::uint8_t> wire) {
    for (std::size_t at = 0; wire[at] != 0; at += wire[at] + 1u)
      for (std::size_t i = at + 1; i <= at + wire[at]; ++i) {
        const std::uint8_t c = wire[i] | 0x20;
        if (c >= 'a' && c <= 'z' && below(2) == 0) wire[i] ^= 0x20;
      }
    return wire;
  }

 private:
  static void add(std::vector<std::uint8_t>& out, const std::string& label) {
    out.push_back(static_cast<std::uint8_t>(label.size()));
    out.insert(out.end(), label.begin(), label.end());
  }

  std::mt19937_64 random_;
  std::vector<std::string> labels_;
};

}  // namespace shunt::rules::test
