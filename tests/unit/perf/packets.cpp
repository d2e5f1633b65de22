#include "tests/unit/perf/packets.h"

namespace shunt::perf {
namespace {

std::uint32_t word_at(std::span<const std::uint8_t> frame, std::size_t at) {
  const std::uint32_t low = at + 1 < frame.size() ? frame[at + 1] : 0U;
  return static_cast<std::uint32_t>(frame[at]) << 8 | low;
}

// RFC 1071, two octets at a time.
std::uint32_t sum_of(std::span<const std::uint8_t> octets, std::uint32_t sum) {
  for (std::size_t i = 0; i < octets.size(); i += 2)
    sum += word_at(octets, i);
  while (sum >> 16 != 0)
    sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

std::uint32_t udp_sum(std::span<const std::uint8_t> frame, bool v4) {
  const std::size_t addresses = v4 ? 26 : 22;
  return sum_of(frame.subspan(addresses), static_cast<std::uint32_t>(17 + frame.size() - (v4 ? 34 : 54)));
}

}  // namespace

Dissected dissect(std::span<const std::uint8_t> f) {
  Dissected d;
  d.v4 = word_at(f, 12) == 0x0800;
  const std::size_t address_size = d.v4 ? 4 : 16, addresses = d.v4 ? 26 : 22, udp = d.v4 ? 34 : 54,
                    dns = udp + 8;
  const auto text = [&](std::size_t at, std::size_t size) {
    return std::string(f.begin() + static_cast<std::ptrdiff_t>(at),
                       f.begin() + static_cast<std::ptrdiff_t>(at + size));
  };
  const auto word = [&](std::size_t at) { return static_cast<std::uint16_t>(word_at(f, at)); };
  d.source = text(addresses, address_size);
  d.destination = text(addresses + address_size, address_size);
  d.source_port = word(udp);
  d.destination_port = word(udp + 2);
  d.sound = word(udp + 4) == f.size() - udp && word(d.v4 ? 16 : 18) == f.size() - (d.v4 ? 14 : 54) &&
            word(udp + 6) != 0 && udp_sum(f, d.v4) == 0xffff &&
            (!d.v4 || sum_of(f.subspan(14, 20), 0) == 0xffff);
  d.id = word(dns);
  d.flags = word(dns + 2);
  for (std::size_t i = 0; i < 4; ++i)
    d.counts[i] = word(dns + 4 + 2 * i);
  std::size_t at = dns + 12;
  for (; f[at] != 0; at += f[at] + std::size_t{1})
    d.name += (d.name.empty() ? "" : ".") + text(at + 1, f[at]);
  d.type = word(at + 1);
  d.rest = text(at + 5, f.size() - at - 5);
  return d;
}

void fix_checksum(std::span<std::uint8_t> f) {
  const bool v4 = word_at(f, 12) == 0x0800;
  const std::size_t at = v4 ? 40 : 60;
  f[at] = f[at + 1] = 0;
  const std::uint32_t sum = ~udp_sum(f, v4) & 0xffff;
  f[at] = static_cast<std::uint8_t>(sum == 0 ? 0xff : sum >> 8);
  f[at + 1] = static_cast<std::uint8_t>(sum == 0 ? 0xff : sum);
}

}  // namespace shunt::perf
