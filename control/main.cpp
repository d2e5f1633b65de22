// shuntd: the daemon.
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "conf/load.h"
#include "control/control.h"
#include "control/version.h"

namespace {

constexpr int kFailed = 1, kUsage = 2, kConfig = 78;

int run(const shunt::dns::HashKey& key, shunt::control::Registry registry, shunt::conf::Loaded loaded) {
  spdlog::set_level(spdlog::level::from_str(loaded.config->log_level));
  auto first = shunt::control::make_generation(std::move(*loaded.config), std::move(loaded.rule_sets), 1, key,
                                               registry);
  if (!first) {
    std::cerr << "shuntd: " << first.error() << "\n";
    return kFailed;
  }
  shunt::control::Control control(key, std::move(registry), std::move(*first));
  if (auto started = control.start(); !started) {
    std::cerr << "shuntd: " << started.error() << "\n";
    return kFailed;
  }
  spdlog::info("shuntd {} is ready", shunt::control::kVersion);
  control.run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("DNS forwarder for gateway hosts", "shuntd");
  std::string path;
  bool check = false;
  app.set_version_flag("--version", std::string("shuntd ") + shunt::control::kVersion);
  app.add_option("--config", path, "the configuration file")->required();
  app.add_flag("--check", check, "read and check the configuration, print every error, and exit");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  spdlog::set_default_logger(spdlog::stderr_color_mt("shuntd"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
  const shunt::dns::HashKey key = shunt::control::Control::draw_key();
  shunt::control::Registry registry;
  shunt::conf::LoadOptions options = shunt::control::load_options(key, registry);
  options.dead_rules = check;
  shunt::conf::Loaded loaded = shunt::conf::load_file(path, options);
  if (!loaded.warnings.empty()) std::cerr << shunt::conf::to_text(loaded.warnings, "warning");
  if (!loaded.config) {
    std::cerr << shunt::conf::to_text(loaded.errors);
    return kConfig;
  }
  if (check) {
    std::cout << path << ": ok\n";
    return 0;
  }
  return run(key, std::move(registry), std::move(loaded));
}
