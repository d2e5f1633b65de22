// One rule line into a rule set: the grammar "NAME ACTION [ARGUMENT …] [ttl=N] [id=TEXT]".
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "conf/rule_answer.h"
#include "conf/rule_names.h"
#include "conf/rule_tokens.h"
#include "dataplane/base/limits.h"
#include "dataplane/rules/trie_builder.h"

namespace shunt::conf {

/// Resolves an upstream's name to its handle; empty where there is no such upstream.
using UpstreamResolver = std::function<std::optional<std::uint32_t>(std::string_view name)>;

/// A mistake in a line.
struct LineError {
  std::size_t offset = 0;  ///< of the word that is wrong, in octets from the line's start
  std::string message;
  std::string hint;
};

/// An ACTION with its arguments.
struct ParsedAction {
  rules::Action action = rules::Action::kSystem;
  std::uint32_t upstream = 0;       ///< handle, for kForward
  AnswerRecord record;              ///< for kAnswer
  std::uint32_t ttl = kBlockedTtl;  ///< for kAnswer, seconds
};

class RuleParser {
 public:
  /// `describe` tells where a line was written, for duplicates. References must outlive the parser.
  RuleParser(rules::RuleSetBuilder& builder, const UpstreamResolver& resolver,
             std::vector<std::string_view> upstreams,
             std::function<std::string(std::uint32_t line)> describe);

  /// Takes a set's list_action: from now on lines may be bare names, or lines of a hosts file.
  std::optional<LineError> set_list_action(std::string_view text);

  /// Adds the rules of a line (none, where it is empty or a comment); `number` becomes their Rule::line.
  std::optional<LineError> add_line(std::string_view text, std::uint32_t number);

  /// The id= of the line that was added last; empty where it had none.
  const std::string& id() const { return id_; }
  /// The upstreams that its lines named.
  const std::set<std::string, std::less<>>& used_upstreams() const { return used_upstreams_; }

 private:
  using Error = std::optional<LineError>;

  Error take_options();
  Error parse_action(std::size_t first, ParsedAction& into);
  Error parse_forward(std::size_t first, ParsedAction& into);
  Error parse_block(std::size_t first, ParsedAction& into);
  Error parse_answer(std::size_t first, ParsedAction& into);
  Error expect_end(std::size_t first);
  Error add_hosts_line(std::uint32_t number);
  Error add_rules(const Token& token, const ParsedAction& action, bool listed, std::uint32_t number);
  Error add_rule(const dns::Name& name, const Token& token, const ParsedAction& action, bool listed,
                 std::uint32_t number);
  bool is_same(const dns::Name& name, const ParsedAction& action);
  Error unknown_action(const Token& token);
  static LineError at(const Token& token, std::string message, std::string hint = {}) {
    return {token.offset, std::move(message), std::move(hint)};
  }

  rules::RuleSetBuilder& builder_;
  const UpstreamResolver& resolver_;
  std::vector<std::string_view> upstreams_;
  std::function<std::string(std::uint32_t)> describe_;
  std::optional<ParsedAction> list_action_;

  // Of the line in hand; kept for their memory.
  std::string_view line_;
  std::vector<Token> tokens_;
  RuleName name_;
  ParsedAction action_;
  std::string id_;
  std::optional<std::uint32_t> ttl_;
  std::size_t ttl_offset_ = 0;
  // The upstream that was named last: neighbouring lines name the same.
  std::string last_upstream_;
  std::uint32_t last_handle_ = 0;
  std::set<std::string, std::less<>> used_upstreams_;
};

}  // namespace shunt::conf
