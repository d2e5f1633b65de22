// One rule line into a rule set: the grammar "NAME ACTION [ARGUMENT …] [ttl=N] [id=TEXT]".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
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
  /// `watch` rules go to `watches`, all others to `builder`. `describe` tells where a line was written, for
  /// duplicates. References must outlive the parser.
  RuleParser(rules::RuleSetBuilder& builder, rules::RuleSetBuilder& watches, const UpstreamResolver& resolver,
             std::vector<std::string_view> upstreams,
             std::function<std::string(std::uint32_t line)> describe);

  /// Takes a set's list_action: from now on lines may be bare names, or lines of a hosts file.
  std::optional<LineError> set_list_action(std::string_view text);

  /// Adds the rules of a line (none, where it is empty or a comment); `number` becomes their Rule::line.
  std::optional<LineError> add_line(std::string_view text, std::uint32_t number);

  /// The same, for lines by the million: the rule may be added later, by another call or by flush(). Where it
  /// can't be, the mistake is then among take_late().
  std::optional<LineError> queue_line(std::string_view text, std::uint32_t number);
  void flush();
  /// A mistake of a line that was queued.
  struct LateError {
    std::uint32_t number;
    std::string line;
    LineError error;
  };
  bool has_late() const { return !late_.empty(); }
  /// In the order of the lines, and of lines before the one that was queued last.
  std::vector<LateError> take_late() { return std::exchange(late_, {}); }

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
  Error refusal(rules::RuleSetBuilder::Added added, const dns::Name& name, const Token& token,
                const ParsedAction& action, bool listed, std::uint32_t other);
  bool queue_plain(std::string_view text, std::uint32_t number);
  void learn(const ParsedAction& action, bool listed);
  bool is_same(const dns::Name& name, const ParsedAction& action);
  rules::RuleSetBuilder& builder_for(const ParsedAction& action) {
    return action.action == rules::Action::kWatch ? watches_ : builder_;
  }
  Error unknown_action(const Token& token);
  static LineError at(const Token& token, std::string message, std::string hint = {}) {
    return {token.offset, std::move(message), std::move(hint)};
  }

  rules::RuleSetBuilder& builder_;
  rules::RuleSetBuilder& watches_;
  const UpstreamResolver& resolver_;
  std::vector<std::string_view> upstreams_;
  std::function<std::string(std::uint32_t)> describe_;
  std::optional<ParsedAction> list_action_;

  /// What stands behind a plain name, and what it says: most lines say what one of the lines before said.
  struct Tail {
    std::string text;
    rules::Action action;
    bool listed;
    std::uint32_t argument;
  };
  static constexpr std::size_t kTails = 8, kMaxPlainLine = 192;
  std::vector<Tail> tails_;
  std::size_t next_tail_ = 0;
  /// A rule that waits to be added, while its place in memory is fetched.
  struct Waiting {
    dns::Name name;
    std::array<std::uint64_t, kMaxPlainName> hashes;
    rules::Cover cover;
    rules::Action action;
    bool listed;
    std::uint32_t argument, number;
    std::size_t name_size, size;
    std::array<char, kMaxPlainLine> text;
  };
  static constexpr std::size_t kMostWaiting = 16;
  std::vector<Waiting> waiting_ = std::vector<Waiting>(kMostWaiting);
  std::size_t count_ = 0;
  std::vector<LateError> late_;

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
