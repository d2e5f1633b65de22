// Answers from the zones of a network: aliases followed within them, until a name is another's to answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "conf/zone.h"
#include "control/zone_message.h"
#include "dataplane/dns/name.h"

namespace shunt::control {

/// Aliases that are followed at most, one after the other.
inline constexpr unsigned kMaxAliases = 8;

/// An answer under way.
class ZoneAnswer {
 public:
  /// The zone that answers for a name; null where a rule, or nobody, does.
  using ZoneOf = std::function<const conf::Zone*(const dns::Name& name)>;

  /// What the zones say to `question` (a checked name, type and class IN, the name as asked) in `limit`
  /// octets. Authority and additional sections hold what they must (the SOA of a denial, a delegation's NS
  /// and glue), and nothing else. `zone_of` is asked during the call only; for the question's own name it has
  /// a zone.
  ZoneAnswer(std::span<const std::uint8_t> question, std::size_t limit, const ZoneOf& zone_of);

  /// The alias's target whose answer is missing: no zone's name. Nothing: the answer is whole.
  const std::optional<dns::Name>& next() const { return next_; }
  std::uint16_t type() const { return type_; }
  /// More aliases than are followed: SERVFAIL is the answer.
  bool failed() const { return failed_; }
  bool truncated() const { return message_.truncated(); }
  /// The answer's records are joined with another's: they have TTLs of their own, which pass.
  bool joined() const { return joined_; }

  /// Adds what was answered for next(): a well-formed answer. False where it brings nothing: SERVFAIL and the
  /// like, or it is malformed. NXDOMAIN and REFUSED are the whole answer's, too (RFC 6604 section 3).
  bool join(std::span<const std::uint8_t> answer);

  /// Gives up all records: the answer is truncated.
  void truncate() { message_.truncate(); }

  /// The message: id 0, QR, AA and the RCODE; no OPT.
  std::vector<std::uint8_t> finish() const;

 private:
  void follow(const dns::Name& name, const ZoneOf& zone_of);
  void add(ZoneMessage::Section section, std::span<const std::uint8_t> owner, const conf::RrSet& set,
           std::uint32_t ttl);
  void add_denial(const conf::Zone& zone);
  void add_glue(const conf::Zone& zone, const conf::RrSet& cut);
  std::optional<dns::Name> substitute(const dns::Name& name, std::span<const std::uint8_t> owner,
                                      const conf::RrSet& dname);

  std::uint16_t type_ = 0;
  std::uint16_t rcode_ = 0;
  bool authoritative_ = true;
  bool failed_ = false;
  bool joined_ = false;
  std::optional<dns::Name> next_;
  ZoneMessage message_;
};

}  // namespace shunt::control
