#include "conf/rule_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "conf/record_type.h"
#include "conf/report.h"

namespace shunt::conf {
namespace {

using rules::Action;
using rules::Cover;
using Added = rules::RuleSetBuilder::Added;

constexpr std::array<std::string_view, 5> kActions = {"forward", "system", "block", "answer", "watch"};
constexpr std::array<std::string_view, 4> kBlocks = {"nxdomain", "nodata", "refused", "drop"};
constexpr std::string_view kActionForms =
    "an action is one of: forward UPSTREAM, system, block nxdomain|nodata|refused|drop, answer TYPE RDATA, "
    "watch";
/// A TTL's upper bit is not to be used (RFC 2181 section 8).
constexpr std::uint32_t kMaxTtl = 0x7fffffff;
constexpr std::size_t kMaxId = 128;

bool is_action(std::string_view word) {
  return std::ranges::find(kActions, word) != kActions.end();
}

/// An unquoted ";" would start a comment in a zone file, and lose what follows.
bool has_bare_semicolon(std::string_view text) {
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (text[i] == ';' && !quoted) {
      return true;
    }
  }
  return false;
}

bool has_control_character(std::string_view text) {
  return std::ranges::any_of(text, [](char c) {
    const auto octet = static_cast<unsigned char>(c);
    return (octet < 0x20 && c != '\t') || octet == 0x7f;
  });
}

}  // namespace

RuleParser::RuleParser(rules::RuleSetBuilder& builder, rules::RuleSetBuilder& watches,
                       const UpstreamResolver& resolver, std::vector<std::string_view> upstreams,
                       std::function<std::string(std::uint32_t)> describe)
    : builder_(builder),
      watches_(watches),
      resolver_(resolver),
      upstreams_(std::move(upstreams)),
      describe_(std::move(describe)) {}

std::optional<LineError> RuleParser::set_list_action(std::string_view text) {
  line_ = text;
  if (TokenError error = tokenize(text, tokens_); !error.message.empty())
    return LineError{error.offset, std::move(error.message), {}};
  if (tokens_.empty()) return LineError{0, "it names no action", std::string(kActionForms)};
  if (Error error = take_options()) return error;
  if (!id_.empty()) return LineError{0, "id= belongs to a line, not to list_action", {}};
  ParsedAction action;
  if (Error error = parse_action(0, action)) return error;
  list_action_ = std::move(action);
  return {};
}

std::optional<LineError> RuleParser::add_line(std::string_view text, std::uint32_t number) {
  line_ = text;
  id_.clear();
  if (TokenError error = tokenize(text, tokens_); !error.message.empty())
    return LineError{error.offset, std::move(error.message), {}};
  if (tokens_.empty()) return {};
  if (Error error = take_options()) return error;
  const Token name = tokens_[0];
  if (list_action_) {
    const bool hosts = IpAddress::parse(name.text).has_value();
    if (hosts && (tokens_.size() < 2 || !is_action(tokens_[1].text))) return add_hosts_line(number);
    if (tokens_.size() == 1 && ttl_) return LineError{ttl_offset_, "ttl= belongs to answer", {}};
    if (tokens_.size() == 1) {
      learn(*list_action_, true);
      return add_rules(name, *list_action_, true, number);
    }
  }
  if (tokens_.size() == 1)
    return at(name, fmt::format("{} has no action", in_quotes(name.text)), std::string(kActionForms));
  if (Error error = parse_action(1, action_)) return error;
  learn(action_, false);
  return add_rules(name, action_, false, number);
}

/// Remembers the tail of the line in hand, for lines that end in the same.
void RuleParser::learn(const ParsedAction& action, bool listed) {
  constexpr std::size_t kMaxTail = 64;
  if (action.action == Action::kAnswer || action.action == Action::kWatch || ttl_ || !id_.empty() ||
      tokens_[0].offset != 0)
    return;
  const std::string_view tail = line_.substr(tokens_[0].text.size());
  if (tail.size() > kMaxTail || tail.find('#') != tail.npos) return;
  if (std::ranges::any_of(tails_, [&](const Tail& t) { return t.text == tail; })) return;
  if (tails_.size() < kTails) tails_.emplace_back();
  tails_[next_tail_++ % kTails] = {std::string(tail), action.action, listed,
                                   action.action == Action::kForward ? action.upstream : 0};
}

bool RuleParser::queue_plain(std::string_view text, std::uint32_t number) {
  if (text.size() > kMaxPlainLine) return false;
  Waiting& w = waiting_[count_];
  const std::size_t size = read_plain_name(text, w.name, w.cover);
  if (size == 0) return false;
  const std::string_view rest = text.substr(size);
  const auto tail = std::ranges::find(tails_, rest, &Tail::text);
  if (tail == tails_.end()) return false;
  builder_.prepare(w.name, w.hashes.data());
  w.action = tail->action;
  w.listed = tail->listed;
  w.argument = tail->argument;
  w.number = number;
  w.name_size = size;
  w.size = text.size();
  std::copy(text.begin(), text.end(), w.text.begin());
  if (++count_ == kMostWaiting) flush();
  return true;
}

std::optional<LineError> RuleParser::queue_line(std::string_view text, std::uint32_t number) {
  id_.clear();
  if (queue_plain(text, number)) return {};
  flush();
  return add_line(text, number);
}

void RuleParser::flush() {
  for (std::size_t i = 0; i < count_; ++i) {
    const Waiting& w = waiting_[i];
    std::uint32_t other = w.number;
    const Added added =
        builder_.add_prepared(w.name, w.hashes.data(), w.cover, w.action, w.argument, w.number, &other);
    if (added == Added::kNew) [[likely]]
      continue;
    const std::string_view text(w.text.data(), w.size);
    name_.cover = w.cover;
    action_.action = w.action;
    action_.upstream = w.argument;
    if (Error error = refusal(added, w.name, {text.substr(0, w.name_size), 0}, action_, w.listed, other))
      late_.push_back({w.number, std::string(text), std::move(*error)});
  }
  count_ = 0;
}

/// Takes ttl= and id= off the line's end, in either order.
std::optional<LineError> RuleParser::take_options() {
  ttl_.reset();
  id_.clear();
  while (tokens_.size() > 1) {
    const Token token = tokens_.back();
    if (token.text.starts_with("id=")) {
      if (!id_.empty()) return at(token, "id= stands here twice");
      Result<std::string> id = plain_text(token.text.substr(3));
      if (!id) return at(token, "id=: " + id.error());
      if (id->empty() || id->size() > kMaxId || has_control_character(*id))
        return at(token, fmt::format("id= takes 1 to {} printable characters", kMaxId));
      id_ = std::move(*id);
    } else if (token.text.starts_with("ttl=")) {
      if (ttl_) return at(token, "ttl= stands here twice");
      const std::string_view digits = token.text.substr(4);
      std::uint32_t ttl = 0;
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), ttl);
      if (error != std::errc() || end != digits.data() + digits.size() || ttl > kMaxTtl)
        return at(token, fmt::format("ttl= takes seconds from 0 to {}", kMaxTtl));
      ttl_ = ttl;
      ttl_offset_ = token.offset;
    } else {
      break;
    }
    tokens_.pop_back();
  }
  return {};
}

std::optional<LineError> RuleParser::parse_action(std::size_t first, ParsedAction& into) {
  const Token& token = tokens_[first];
  const std::string_view word = token.text;
  if (ttl_ && word != "answer" && is_action(word))
    return LineError{ttl_offset_, "ttl= belongs to answer", {}};
  if (word == "forward") return parse_forward(first + 1, into);
  if (word == "block") return parse_block(first + 1, into);
  if (word == "answer") return parse_answer(first + 1, into);
  if (word == "system") {
    into.action = Action::kSystem;
    return expect_end(first + 1);
  }
  if (word == "watch") {
    into.action = Action::kWatch;
    return expect_end(first + 1);
  }
  return unknown_action(token);
}

std::optional<LineError> RuleParser::unknown_action(const Token& token) {
  std::string hint = std::string(kActionForms);
  if (const std::string_view near = nearest(token.text, kActions); !near.empty())
    hint = fmt::format("did you mean {}?", in_quotes(near));
  else if (&token != tokens_.data() && is_action(tokens_[0].text))
    hint = fmt::format("the name comes first: NAME {} ...", tokens_[0].text);
  return at(token, fmt::format("{} is no action", in_quotes(token.text)), std::move(hint));
}

std::optional<LineError> RuleParser::expect_end(std::size_t first) {
  if (first >= tokens_.size()) return {};
  return at(tokens_[first],
            fmt::format("nothing is expected here, but there is {}", in_quotes(tokens_[first].text)),
            "a comment starts with #");
}

std::optional<LineError> RuleParser::parse_forward(std::size_t first, ParsedAction& into) {
  if (first >= tokens_.size()) {
    return at(tokens_[first - 1], "forward needs the name of an upstream",
              hint_for("", upstreams_, "upstreams"));
  }
  const Token& token = tokens_[first];
  into.action = Action::kForward;
  if (last_upstream_.empty() || token.text != last_upstream_) {
    const Result<std::string> name = plain_text(token.text);
    const std::optional<std::uint32_t> handle = name ? resolver_(*name) : std::nullopt;
    if (!handle) {
      return at(token,
                fmt::format("there is no upstream {}", in_quotes(name ? *name : std::string(token.text))),
                hint_for(token.text, upstreams_, "upstreams"));
    }
    last_upstream_ = token.text;
    last_handle_ = *handle;
    used_upstreams_.insert(*name);
  }
  into.upstream = last_handle_;
  return expect_end(first + 1);
}

std::optional<LineError> RuleParser::parse_block(std::size_t first, ParsedAction& into) {
  constexpr std::array<Action, kBlocks.size()> kMeanings = {Action::kBlockNxdomain, Action::kBlockNodata,
                                                            Action::kBlockRefused, Action::kBlockDrop};
  if (first >= tokens_.size())
    return at(tokens_[first - 1], "block needs one of nxdomain, nodata, refused, drop");
  const Token& token = tokens_[first];
  const auto found = std::ranges::find(kBlocks, token.text);
  if (found == kBlocks.end()) {
    return at(
        token,
        fmt::format("block can't {}: it takes nxdomain, nodata, refused or drop", in_quotes(token.text)),
        hint_for(token.text, kBlocks, "words"));
  }
  into.action = kMeanings[static_cast<std::size_t>(found - kBlocks.begin())];
  return expect_end(first + 1);
}

std::optional<LineError> RuleParser::parse_answer(std::size_t first, ParsedAction& into) {
  if (first + 1 >= tokens_.size()) {
    return at(tokens_.back(), "answer needs a type and its data", "for example: answer A 192.0.2.1");
  }
  const Token& type_token = tokens_[first];
  const std::uint16_t type = parse_type(type_token.text);
  if (type == 0) {
    return at(type_token,
              fmt::format("{} is no record type that can be answered", in_quotes(type_token.text)),
              hint_for(type_token.text, common_types(), "types"));
  }
  const Token& begin = tokens_[first + 1];
  const Token& end = tokens_.back();
  const std::string_view rdata = line_.substr(begin.offset, end.offset + end.text.size() - begin.offset);
  if (has_control_character(rdata)) return at(begin, "the data has a control character: write it as \\DDD");
  if (has_bare_semicolon(rdata))
    return at(begin, "the data has a \";\", which starts a comment in zone files", "put the text in quotes");
  Result<AnswerRecord> record = parse_record(type, rdata);
  if (!record) {
    return at(begin,
              fmt::format("{} is no data of type {}: {}", in_quotes(rdata), type_token.text, record.error()),
              "the data is written as in a zone file, for example: answer MX 10 mail.onprem.corp");
  }
  into.action = Action::kAnswer;
  into.record = std::move(*record);
  into.ttl = ttl_.value_or(kBlockedTtl);
  return {};
}

/// "0.0.0.0 ads.example.com tracker.example.com": each name alone. The address says nothing: the action is
/// the list's.
std::optional<LineError> RuleParser::add_hosts_line(std::uint32_t number) {
  if (ttl_) return LineError{ttl_offset_, "ttl= belongs to answer", {}};
  if (tokens_.size() == 1)
    return at(tokens_[0], "an address without names", "a hosts-file line is: ADDRESS NAME ...");
  for (std::size_t i = 1; i < tokens_.size(); ++i) {
    if (is_hosts_file_own_name(tokens_[i].text)) continue;
    if (std::string error = parse_rule_name(tokens_[i].text, name_); !error.empty())
      return at(tokens_[i], std::move(error));
    if (name_.cover != Cover::kSuffix || name_.names.size() != 1)
      return at(tokens_[i], "a hosts-file line has plain names");
    name_.cover = Cover::kExact;
    if (Error error = add_rule(name_.names[0], tokens_[i], *list_action_, true, number)) return error;
  }
  return {};
}

std::optional<LineError> RuleParser::add_rules(const Token& token, const ParsedAction& action, bool listed,
                                               std::uint32_t number) {
  if (std::string error = parse_rule_name(token.text, name_); !error.empty())
    return at(token, std::move(error));
  for (const dns::Name& name : name_.names)
    if (Error error = add_rule(name, token, action, listed, number)) return error;
  return {};
}

/// Does the rule that `name` has already do the same as `action`?
bool RuleParser::is_same(const dns::Name& name, const ParsedAction& action) {
  const rules::Rule* const earlier = builder_for(action).find(name, name_.cover);
  if (earlier == nullptr || earlier->action != action.action) return false;
  // A record that is a duplicate is one its answer holds; other actions have no argument.
  return action.action != Action::kForward || earlier->argument == action.upstream;
}

std::optional<LineError> RuleParser::add_rule(const dns::Name& name, const Token& token,
                                              const ParsedAction& action, bool listed, std::uint32_t number) {
  std::uint32_t other = number;
  const Added added =
      action.action == Action::kAnswer
          ? builder_.add_answer(name, name_.cover, action.record.type, action.ttl, action.record.rdata,
                                number, &other)
          : builder_for(action).add(name, name_.cover, action.action, action.upstream, number, &other);
  return refusal(added, name, token, action, listed, other);
}

/// Why a rule was not added; nothing where it was, or need not be.
std::optional<LineError> RuleParser::refusal(Added added, const dns::Name& name, const Token& token,
                                             const ParsedAction& action, bool listed, std::uint32_t other) {
  if (added == Added::kNew || added == Added::kMerged) return {};
  // Public lists repeat themselves: there an equal rule a second time is no mistake.
  if (added == Added::kDuplicate && listed && is_same(name, action)) return {};
  const std::string what = in_quotes(rule_name_text(name.octets(), name_.cover));
  switch (added) {
    case Added::kCnameConflict:
      return at(token, fmt::format("{} has an answer at {} that this can't stand beside: a CNAME is alone",
                                   what, describe_(other)));
    case Added::kTooLarge:
      return at(
          token,
          fmt::format("the records of one type for {} take more than {} octets, which may not fit a message",
                      what, rules::kMaxAnswerOctets));
    default:
      if (action.action == Action::kWatch)
        return at(token, fmt::format("{} is watched already, at {}", what, describe_(other)));
      return at(token, fmt::format("{} has a rule already, at {}", what, describe_(other)),
                "a name stands once in a rule set; only answer lines add up, and watch stands beside another "
                "action");
  }
}

}  // namespace shunt::conf
