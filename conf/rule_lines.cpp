#include "conf/rule_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <new>
#include <stdexcept>

#include "conf/report.h"
#include "dataplane/rules/trie_builder.h"

namespace shunt::conf {
namespace {

using rules::Action;

constexpr std::uint32_t kLinesPerMemoryCheck = 1024;

/// Columns count characters, not octets.
std::uint32_t characters(std::string_view text) {
  return static_cast<std::uint32_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

class SetBuilder {
 public:
  SetBuilder(const Config& config, const RuleSet& source, const dns::HashKey& key,
             const UpstreamResolver& resolver, std::vector<Diagnostic>& errors, std::size_t max_errors,
             std::uint64_t held)
      : config_(config),
        source_(source),
        builder_(key),
        watches_(key),
        parser_(builder_, watches_, resolver, upstream_names(config),
                [this](std::uint32_t line) { return built_.describe_line(config_, source_, line); }),
        errors_(errors),
        max_errors_(max_errors),
        held_(held) {
    built_.name = source.name;
    built_.list_lines = static_cast<std::uint32_t>(source.list.size());
  }

  BuiltRuleSet build() {
    try {
      add_all();
      built_.set = builder_.build();
      built_.upstreams.assign(parser_.used_upstreams().begin(), parser_.used_upstreams().end());
      auto watches = watches_.build();
      if (watches->size() != 0) built_.watches = std::move(watches);
    } catch (const std::bad_alloc&) {
      error(whole_set("there is not enough memory for its rules"));
    } catch (const std::length_error& e) {
      error(whole_set(e.what()));
    }
    if (wrong_ > max_errors_) {
      errors_.push_back(whole_set(fmt::format("{} more mistakes are not shown", wrong_ - max_errors_)));
    }
    return std::move(built_);
  }

 private:
  static std::vector<std::string_view> upstream_names(const Config& config) {
    std::vector<std::string_view> names;
    for (const Upstream& u : config.upstreams)
      names.push_back(u.name);
    return names;
  }

  void add_all() {
    if (!source_.list_action.empty()) {
      if (auto wrong = parser_.set_list_action(source_.list_action)) {
        Diagnostic d = whole_set("list_action: " + wrong->message);
        d.hint = std::move(wrong->hint);
        error(std::move(d));
        return;  // else every bare name would be a mistake
      }
    }
    for (std::uint32_t i = 0; i < source_.list.size(); ++i) {
      if (auto wrong = parser_.add_line(source_.list[i], i)) {
        error(in_list(i, std::move(*wrong)));
      } else {
        keep_id(i);
      }
    }
    if (!source_.file.empty()) add_file();
  }

  void add_file() {
    LineFile file;
    if (const std::string why = file.open(source_.file); !why.empty()) {
      error(whole_set(fmt::format("can't read {}: {}", in_quotes(source_.file), why)));
      return;
    }
    if (!make_room(source_.list.size() + file.estimated_lines())) return;
    std::uint32_t number = 0;
    while (const std::optional<LineFile::Line> line = file.next()) {
      std::string_view text = line->text;
      if (++number > std::numeric_limits<std::uint32_t>::max() - built_.list_lines - 1)
        throw std::length_error("more lines than one rule set can hold");
      static constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
      if (number == 1 && text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
      if (line->too_long) {
        finish_queue();
        error(in_file(number, text, {0, fmt::format("a line of more than {} octets", kMaxRuleLine), {}}));
      } else {
        auto wrong = parser_.queue_line(text, built_.list_lines + number);
        tell_late();
        if (wrong) {
          error(in_file(number, text, std::move(*wrong)));
        } else {
          keep_id(built_.list_lines + number);
        }
      }
      if (number % kLinesPerMemoryCheck == 0 &&
          builder_.memory_octets() + watches_.memory_octets() + held_ > allowed()) {
        error(too_large(
            fmt::format("its rules take more from line {} of {} on", number, in_quotes(source_.file))));
        return;
      }
    }
    finish_queue();
    built_.file_stamp = file.settled_stamp();
    if (!file.error().empty())
      error(whole_set(fmt::format("can't read {} to its end: {}", in_quotes(source_.file), file.error())));
  }

  void finish_queue() {
    parser_.flush();
    tell_late();
  }
  void tell_late() {
    if (!parser_.has_late()) [[likely]]
      return;
    for (RuleParser::LateError& late : parser_.take_late())
      error(in_file(late.number - built_.list_lines, late.line, std::move(late.error)));
  }

  std::uint64_t allowed() const { return config_.dataplane.rules_memory; }

  /// Asks for memory for so many rules, which is a guess. False where that is too much by far.
  bool make_room(std::size_t rules) {
    const std::uint64_t left = allowed() - std::min(held_, allowed());
    const std::uint64_t needed = rules::RuleSetBuilder::octets_for(rules);
    if (needed / 2 > left) {
      error(too_large(fmt::format("its {} rules would take about {} MiB", rules, needed >> 20)));
      return false;
    }
    if (needed <= left) builder_.reserve(rules);
    return true;
  }

  Diagnostic too_large(const std::string& what) const {
    Diagnostic d = whole_set(fmt::format("{}, but rules_memory = {} MiB", what, allowed() >> 20));
    if (held_ > 0) d.message += fmt::format(" holds {} MiB of other rules already", held_ >> 20);
    d.hint =
        "rules_memory holds the rules of three generations, but equal sets once: the one that runs, the one "
        "before it for a rollback, and the one that is loaded; it can't be changed by a reload";
    return d;
  }

  void keep_id(std::uint32_t line) {
    if (!parser_.id().empty()) built_.ids.emplace_back(line, parser_.id());
  }

  void error(Diagnostic d) {
    if (++wrong_ <= max_errors_) errors_.push_back(std::move(d));
  }
  Diagnostic whole_set(std::string message) const {
    return {config_.path,
            source_.position,
            fmt::format("[[rules]] {}: {}", in_quotes(source_.name), message),
            {},
            {}};
  }
  /// The source line is the configuration's, which is not at hand here: whoever has its text fills it in.
  Diagnostic in_list(std::uint32_t i, LineError wrong) const {
    Position position = source_.position;
    if (i < source_.list_positions.size()) {
      position = source_.list_positions[i];
      const std::string_view line = source_.list[i];
      position.column += 1 + characters(line.substr(0, wrong.offset));  // 1 for the quote in front
    }
    return {config_.path, position, std::move(wrong.message), std::move(wrong.hint), {}};
  }
  Diagnostic in_file(std::uint32_t number, std::string_view line, LineError wrong) const {
    constexpr std::size_t kShown = 4096;
    const Position position{number, 1 + characters(line.substr(0, wrong.offset))};
    return {source_.file, position, std::move(wrong.message), std::move(wrong.hint),
            std::string(line.substr(0, kShown))};
  }

  const Config& config_;
  const RuleSet& source_;
  rules::RuleSetBuilder builder_, watches_;
  BuiltRuleSet built_;
  RuleParser parser_;
  std::vector<Diagnostic>& errors_;
  std::size_t max_errors_;
  std::uint64_t held_;  ///< octets of other sets
  std::size_t wrong_ = 0;
};

}  // namespace

std::string BuiltRuleSet::describe_line(const Config& config, const RuleSet& source,
                                        std::uint32_t line) const {
  if (line >= list_lines) return fmt::format("{}:{}", source.file, line - list_lines);
  const bool known = line < source.list_positions.size();
  return fmt::format("{}:{}", config.path, known ? source.list_positions[line].line : source.position.line);
}

bool is_unchanged(const RuleSet& source, const KnownRuleSet& known,
                  const std::function<bool(const std::string& name)>& has_upstream) {
  if (known.source->list_action != source.list_action || known.source->file != source.file ||
      known.source->list != source.list)
    return false;
  if (!source.file.empty() && (!known.built->file_stamp || stamp_of(source.file) != known.built->file_stamp))
    return false;
  return std::ranges::all_of(known.built->upstreams, has_upstream);
}

std::string_view BuiltRuleSet::id_of(std::uint32_t line) const {
  const auto found = std::ranges::lower_bound(ids, line, {}, [](const auto& id) { return id.first; });
  return found != ids.end() && found->first == line ? std::string_view(found->second) : std::string_view();
}

BuiltRuleSet build_rule_set(const Config& config, const RuleSet& source, const dns::HashKey& key,
                            const UpstreamResolver& resolver, std::vector<Diagnostic>& errors,
                            std::size_t max_errors, std::uint64_t held) {
  return SetBuilder(config, source, key, resolver, errors, max_errors, held).build();
}

namespace {

/// "A 192.0.2.1 ttl=5 + A 192.0.2.2": every record of an answer.
std::string answer_text(const rules::Answer& answer) {
  std::string text;
  for (const rules::AnswerGroup& group : answer.groups) {
    for (std::size_t at = 0; at < group.wire.size();) {
      const std::uint32_t ttl = load_be32(&group.wire[at + 6]);
      const std::size_t size = load_be16(&group.wire[at + 10]);
      const std::size_t rdata = at + 12;  // behind owner, type, class, TTL and RDLENGTH
      text += (text.empty() ? "" : " + ") + record_text(group.type, {group.wire.data() + rdata, size});
      if (ttl != kBlockedTtl) text += fmt::format(" ttl={}", ttl);
      at = rdata + size;
    }
  }
  return text;
}

}  // namespace

std::string rule_text(const rules::RuleSet& set, rules::RuleIndex rule,
                      const std::function<std::string(std::uint32_t handle)>& upstream_name) {
  const rules::Rule& r = set.rule(rule);
  std::string name = rule_name_text(set.name(rule), r.cover);
  switch (r.action) {
    case Action::kForward:
      return name + " forward " + upstream_name(r.argument);
    case Action::kSystem:
      return name + " system";
    case Action::kBlockNxdomain:
      return name + " block nxdomain";
    case Action::kBlockNodata:
      return name + " block nodata";
    case Action::kBlockRefused:
      return name + " block refused";
    case Action::kZone:
      return name + " zone";
    case Action::kBlockDrop:
      return name + " block drop";
    case Action::kAnswer:
      return name + " answer " + answer_text(set.answer(r.argument));
    case Action::kWatch:
      return name + " watch";
  }
  return name;
}

}  // namespace shunt::conf
