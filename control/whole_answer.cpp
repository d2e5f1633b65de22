#include "control/whole_answer.h"

#include <algorithm>
#include <optional>

#include "dataplane/base/bytes.h"
#include "dataplane/base/limits.h"
#include "dataplane/dns/edns.h"
#include "dataplane/dns/reply.h"

namespace shunt::control {
namespace {

using Octets = std::vector<std::uint8_t>;
using Message = std::span<const std::uint8_t>;

struct Parsed {
  dns::Reply reply;
  dns::Name name;
};

std::optional<Parsed> parse(Message message) {
  Parsed parsed;
  if (dns::parse_reply(message, parsed.reply, parsed.name) != dns::ReplyVerdict::kGood) return std::nullopt;
  return parsed;
}

// Of a cut answer's records a worker leaves none but the OPT that is for the client.
dns::Edns opt_of(Message cut, const dns::Reply& reply) {
  dns::Edns opt;
  dns::read_opt(cut, reply.question_end, opt);
  return opt;
}

// An OPT of ours with the options for the far end out of another one of `from`.
void append_opt(Octets& to, const dns::OptFields& fields, Message from, const dns::Edns& other) {
  const std::size_t begin = to.size();
  to.resize(begin + dns::kOptSize + dns::kExtendedErrorSize);
  to.resize(begin + dns::write_opt(&to[begin], fields));
  const Message options = from.subspan(other.options_offset, other.options_length);
  for (std::size_t at = 0; at + 4 <= options.size();) {
    const std::size_t size = 4u + load_be16(&options[at + 2]);
    if (!dns::is_hop_option(load_be16(&options[at])))
      to.insert(to.end(), options.begin() + static_cast<std::ptrdiff_t>(at),
                options.begin() + static_cast<std::ptrdiff_t>(at + size));
    at += size;
  }
  store_be16(&to[begin + dns::kOptSize - 2], static_cast<std::uint16_t>(to.size() - begin - dns::kOptSize));
}

std::uint16_t flags_for(const dns::Reply& cut, const dns::Reply& whole, const dns::Edns& opt) {
  const auto client = cut.header.flags;
  unsigned flags = dns::kQr | dns::kRa | (client & (dns::kRd | dns::kCd)) |
                   (whole.header.flags & (dns::kAa | dns::kTc | dns::kRcodeMask));
  if (opt.dnssec_ok || (client & dns::kAd) != 0) flags |= whole.header.flags & dns::kAd;
  // Without OPT there is no place for an extended RCODE, and its lower bits alone would lie.
  if (whole.edns.extended_rcode != 0 && !opt.present)
    flags = (flags & ~unsigned{dns::kRcodeMask}) | static_cast<unsigned>(dns::Rcode::kServFail);
  return static_cast<std::uint16_t>(flags);
}

}  // namespace

Octets question_again(Message cut) {
  const std::optional<Parsed> parsed = parse(cut);
  if (!parsed) return {};
  const dns::Reply& reply = parsed->reply;
  const dns::Edns opt = opt_of(cut, reply);
  Octets wire(cut.begin(), cut.begin() + reply.question_end);
  const auto flags = static_cast<std::uint16_t>((reply.header.flags & (dns::kRd | dns::kCd)) | dns::kAd);
  dns::store_header(wire.data(),
                    {reply.header.id, flags, 1, 0, 0, opt.present ? std::uint16_t{1} : std::uint16_t{0}});
  if (opt.present) append_opt(wire, {.udp_size = kEdnsSize, .dnssec_ok = opt.dnssec_ok}, cut, opt);
  return wire;
}

Octets whole_for_client(Message cut, Message whole) {
  const std::optional<Parsed> asked = parse(cut), got = parse(whole);
  if (!asked || !got) return {};
  const dns::Reply &from = asked->reply, &reply = got->reply;
  if (from.type != reply.type || from.klass != reply.klass ||
      !std::ranges::equal(asked->name.octets(), got->name.octets())) {
    return {};
  }
  const dns::Edns opt = opt_of(cut, from);
  dns::Header header = reply.header;
  std::size_t end = whole.size();
  if (reply.truncated()) {
    end = reply.question_end;
    header.ancount = header.nscount = header.arcount = 0;
  } else if (reply.edns.present) {
    end = reply.opt_begin;
    header.arcount = dns::additionals_before_opt(whole, reply);
  }
  Octets wire(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(end));
  std::copy(cut.begin() + dns::kHeaderSize, cut.begin() + from.question_end, wire.begin() + dns::kHeaderSize);
  header.id = from.header.id;
  header.flags = flags_for(from, reply, opt);
  if (opt.present) {
    ++header.arcount;
    const dns::Edns far = opt.foreign_options ? reply.edns : dns::Edns{};
    append_opt(
        wire,
        {.udp_size = kEdnsSize, .dnssec_ok = opt.dnssec_ok, .extended_rcode = reply.edns.extended_rcode},
        whole, far);
  }
  dns::store_header(wire.data(), header);
  return wire.size() <= dns::kMaxWire ? wire : Octets{};
}

}  // namespace shunt::control
