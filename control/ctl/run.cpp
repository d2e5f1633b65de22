#include "control/ctl/run.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "conf/load.h"
#include "control/ctl/capture.h"
#include "control/ctl/client.h"
#include "control/ctl/print.h"
#include "control/ctl/top.h"
#include "control/explain.h"
#include "control/generation.h"
#include "control/registry.h"

namespace shunt::control::ctl {

namespace {

constexpr std::chrono::seconds kTimeout{30};
/// A reload may build rules by the million.
constexpr std::chrono::minutes kReloadTimeout{10};

struct Arguments {
  std::string socket = "/run/shunt/control.sock";
  bool json = false;
  bool dry_run = false;
  std::string name, type = "A", client, endpoint, config, file;
  std::string sort = "queries";
  std::size_t count = 50;
  CaptureOptions capture;
  TopOptions top;
};

/// Where one run's output goes.
struct Terminal {
  std::ostream& out;
  std::ostream& err;
};

using Printer = std::function<std::string(const Json& result)>;

std::string with_newline(std::string text) {
  if (!text.ends_with('\n')) text += '\n';
  return text;
}

/// Asks the daemon and prints the result: as it came for --json, else by `printer`.
int ask(const Arguments& arguments, const Terminal& terminal, const nlohmann::json& request,
        const Printer& printer, std::chrono::milliseconds timeout = kTimeout) {
  const auto result = call(arguments.socket, request, timeout);
  if (!result) {
    terminal.err << with_newline(result.error().text);
    return result.error().code;
  }
  terminal.out << with_newline(arguments.json ? result->dump() : printer(*result)) << std::flush;
  return kDone;
}

/// The same from a configuration file alone: the daemon's own code, without the daemon.
int explain_file(const Arguments& arguments, const Terminal& terminal) {
  const dns::HashKey key;
  Registry registry;
  conf::Loaded loaded = conf::load_file(arguments.config, load_options(key, registry));
  if (!loaded.config) {
    terminal.err << with_newline(conf::to_text(loaded.errors));
    return kConfigWrong;
  }
  const auto generation =
      make_generation(std::move(*loaded.config), std::move(loaded.rule_sets), 1, key, registry);
  if (!generation) {
    terminal.err << with_newline(generation.error());
    return kConfigWrong;
  }
  const auto result = control::explain(
      **generation, key, {}, nullptr, {arguments.name, arguments.type, arguments.client, arguments.endpoint});
  if (!result) {
    terminal.err << with_newline(result.error());
    return kFailed;
  }
  terminal.out << with_newline(arguments.json ? result->dump() : explain_text(*result));
  return kDone;
}

int explain(const Arguments& arguments, const Terminal& terminal) {
  if (!arguments.config.empty()) return explain_file(arguments, terminal);
  nlohmann::json request{{"command", "explain"},
                         {"name", arguments.name},
                         {"type", arguments.type},
                         {"client", arguments.client}};
  if (!arguments.endpoint.empty()) request["endpoint"] = arguments.endpoint;
  return ask(arguments, terminal, request, explain_text);
}

int reload(const Arguments& arguments, const Terminal& terminal) {
  nlohmann::json request{{"command", "reload"}};
  if (arguments.dry_run) request["dry_run"] = true;
  return ask(arguments, terminal, request, arguments.dry_run ? dry_run_text : summary_text, kReloadTimeout);
}

int rollback(const Arguments& arguments, const Terminal& terminal) {
  return ask(arguments, terminal, {{"command", "rollback"}}, summary_text, kReloadTimeout);
}

int cache_flush(const Arguments& arguments, const Terminal& terminal) {
  nlohmann::json request{{"command", "cache flush"}};
  if (!arguments.name.empty()) request["name"] = arguments.name;
  return ask(arguments, terminal, request, [&](const Json&) {
    return arguments.name.empty() ? std::string("flushed") : "flushed " + arguments.name + " and below";
  });
}

int health(const Arguments& arguments, const Terminal& terminal) {
  const auto result = call(arguments.socket, {{"command", "health"}}, kTimeout);
  if (!result) {
    terminal.err << with_newline(result.error().text);
    return result.error().code;
  }
  const bool healthy = result->value("healthy", false);
  if (arguments.json) {
    terminal.out << result->dump() << '\n';
  } else if (healthy) {
    terminal.out << "healthy\n";
  } else {
    terminal.err << with_newline("not healthy: " + result->value("reason", std::string("no reason given")));
  }
  return healthy ? kDone : kFailed;
}

int rules(const Arguments& arguments, const Terminal& terminal) {
  return ask(arguments, terminal, {{"command", "rules"}},
             [&](const Json& result) { return rules_text(result, arguments.sort, arguments.count); });
}

int capture_frames(const Arguments& arguments, const Terminal& terminal) {
  CaptureOptions options = arguments.capture;
  options.socket = arguments.socket;
  options.json = arguments.json;
  if (options.json && options.file == "-") {
    terminal.err << "--json and --write - want standard output both\n";
    return kUsage;
  }
  return capture(options, terminal.out, terminal.err);
}

int show_top(const Arguments& arguments, const Terminal& terminal) {
  TopOptions options = arguments.top;
  options.socket = arguments.socket;
  options.json = arguments.json;
  options.screen = &terminal.out == &std::cout && isatty(STDOUT_FILENO) != 0;
  return top(options, terminal.out, terminal.err);
}

nlohmann::json to_json(const std::vector<conf::Diagnostic>& diagnostics) {
  nlohmann::json out = nlohmann::json::array();
  for (const conf::Diagnostic& d : diagnostics) {
    out.push_back({{"file", d.file},
                   {"line", d.position.line},
                   {"column", d.position.column},
                   {"message", d.message},
                   {"hint", d.hint}});
  }
  return out;
}

/// Needs no daemon.
int check(const Arguments& arguments, const Terminal& terminal) {
  const conf::Loaded loaded = conf::load_file(arguments.file, {.dead_rules = true});
  if (arguments.json) {
    const nlohmann::json result{{"errors", to_json(loaded.errors)}, {"warnings", to_json(loaded.warnings)}};
    terminal.out << result.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
  } else {
    if (!loaded.errors.empty()) terminal.err << with_newline(conf::to_text(loaded.errors));
    if (!loaded.warnings.empty()) terminal.err << with_newline(conf::to_text(loaded.warnings, "warning"));
    if (loaded.config) terminal.out << arguments.file << ": ok\n";
  }
  return loaded.config ? kDone : kConfigWrong;
}

using Action = std::function<int(const Arguments&, const Terminal&)>;

/// A command that is nothing but a request and a printer.
Action plain(const std::string& command, Printer printer) {
  return [command, printer = std::move(printer)](const Arguments& arguments, const Terminal& terminal) {
    return ask(arguments, terminal, {{"command", command}}, printer);
  };
}

/// Declares all commands; the one that was given leaves what it does in `action`.
void declare(CLI::App& app, Arguments& arguments, Action& action) {
  app.add_option("--socket", arguments.socket, "the daemon's control socket")->capture_default_str();
  app.add_flag("--json", arguments.json, "print the result as JSON, as it came");
  app.set_version_flag("--version", std::string("shuntctl " SHUNT_VERSION));
  app.require_subcommand(1);
  app.fallthrough();  // --json and --socket may also stand behind the command

  const auto command = [&action](CLI::App& parent, const std::string& name, const std::string& help,
                                 Action what) {
    CLI::App* sub = parent.add_subcommand(name, help);
    sub->fallthrough();
    sub->callback([&action, what = std::move(what)] { action = what; });
    return sub;
  };
  command(app, "status", "version, uptime, generation, ports, workers", plain("status", status_text));
  command(app, "reload", "read the configuration again and swap it in", reload)
      ->add_flag("--dry-run", arguments.dry_run, "check it and say what would change");
  command(app, "rollback", "bring back the generation before; a second time, the one that was replaced",
          rollback);
  command(app, "upstreams", "the state of each upstream's targets", plain("upstreams", upstreams_text));
  command(app, "stats", "all counters as a table", plain("stats", stats_text));
  CLI::App* figures = command(app, "rules", "figures of single rules: the busiest first", rules);
  figures->add_option("--sort", arguments.sort, "what comes first")
      ->check(CLI::IsMember({"queries", "hits", "dropped", "timeouts", "p99", "name"}))
      ->capture_default_str();
  figures->add_option("--count", arguments.count, "how many are shown")->capture_default_str();
  command(app, "metrics", "all counters as Prometheus text",
          plain("metrics", [](const Json& result) { return result.value("text", std::string()); }));
  command(app, "health", "exit code 0 while the gateway can answer, 1 with the reason when it can't", health);

  CLI::App* why = command(app, "explain", "what would happen to a query, and why", explain);
  why->add_option("NAME", arguments.name, "the name asked for")->required();
  why->add_option("TYPE", arguments.type, "the type asked for")->capture_default_str();
  why->add_option("--client", arguments.client, "the client's address")->required();
  why->add_option("--endpoint", arguments.endpoint, "the inbound endpoint asked");
  why->add_option("--config", arguments.config, "ask this file instead of the running daemon");

  CLI::App* cache = app.add_subcommand("cache", "the answer cache");
  cache->require_subcommand(1);
  cache->fallthrough();
  command(*cache, "stats", "its size and its hits, by worker", plain("cache stats", cache_text));
  command(*cache, "flush", "forget a name and what is below it, or everything", cache_flush)
      ->add_option("NAME", arguments.name, "the name to forget; absent: everything");

  CLI::App* busy = command(app, "top", "a live view of queries, names, clients and rules", show_top);
  busy->add_option("--count", arguments.top.count, "how many names, clients and rules are shown")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  busy->add_option("--interval", arguments.top.interval, "seconds between two updates")
      ->check(CLI::Range(0.1, 5.0))  // the daemon forgets who is silent for ten seconds
      ->capture_default_str();
  busy->add_option("--updates", arguments.top.updates, "end after so many")
      ->check(CLI::Range(std::uint64_t{1}, UINT64_MAX));

  CLI::App* frames = command(app, "capture", "write packets of the fast path to a pcap file", capture_frames);
  frames->add_option("--write", arguments.capture.file, "the file; - is standard output")->required();
  frames->add_option("--client", arguments.capture.client, "only what comes from that address or goes there");
  frames->add_option("--name", arguments.capture.name,
                     "only questions for that name or one below, and answers");
  frames->add_option("--count", arguments.capture.count, "end after so many frames")
      ->check(CLI::Range(std::uint64_t{1}, UINT64_MAX));
  frames->add_option("--seconds", arguments.capture.seconds, "end after so long")
      ->check(CLI::Range(0.001, 1e9));

  command(app, "check", "check a configuration file, without the daemon", check)
      ->add_option("FILE", arguments.file, "the configuration file")
      ->required();
}

}  // namespace

int run(int argc, const char* const* argv, std::ostream& out, std::ostream& err) {
  Arguments arguments;
  Action action;
  CLI::App app("shuntctl: asks a running shuntd, and tells it what to do", "shuntctl");
  declare(app, arguments, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e, out, err) == 0 ? kDone : kUsage;
  }
  try {
    return action(arguments, {out, err});
  } catch (const std::exception& e) {
    err << "shuntctl: " << e.what() << '\n';
    return kFailed;
  }
}

}  // namespace shunt::control::ctl
