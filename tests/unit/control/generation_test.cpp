// What becomes of configurations that follow each other: what is shared, what changes by name, and what a
// rollback brings back.
#include "control/generation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "conf/zone.h"
#include "control/changes.h"
#include "tests/support/certificates.h"
#include "tests/unit/conf/config_text.h"

namespace shunt::control {
namespace {

using conf::below;
using conf::change;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const dns::HashKey kKey{1, 2};

class Generations : public ::testing::Test {
 protected:
  std::shared_ptr<const Generation> make(std::string_view text,
                                         std::initializer_list<const Generation*> held = {}) {
    conf::Loaded loaded = conf::load_text(text, "shunt.toml", load_options(kKey, registry_, held));
    EXPECT_TRUE(loaded.config) << conf::to_text(loaded.errors);
    if (!loaded.config) return nullptr;
    built_ = loaded.sets_built;
    auto made =
        make_generation(std::move(*loaded.config), std::move(loaded.rule_sets), ++number_, kKey, registry_);
    EXPECT_TRUE(made) << made.error();
    return made.value_or(nullptr);
  }
  static std::vector<std::string> tables(const Changes& changes) {
    std::vector<std::string> lines;
    for (const TableChange& t : changes.tables) {
      lines.push_back(std::string(1, t.what) + " " + t.kind + " " + t.name);
      for (const std::string& key : t.keys)
        lines.back() += " " + key;
    }
    return lines;
  }
  static std::vector<std::string> rules(const Changes& changes) {
    std::vector<std::string> lines;
    for (const RuleChange& r : changes.rules)
      lines.push_back(r.set + ": " + r.name + ": " + r.before + " > " + r.after);
    return lines;
  }

  Registry registry_;
  std::uint64_t number_ = 0;
  std::size_t built_ = 0;
};

TEST_F(Generations, ShareWhatHasNotChanged) {
  const std::string two = below("[[rules]]\nname = \"more\"\nlist = [\"x.example system\"]\n");
  const auto first = make(two);
  EXPECT_EQ(built_, 2u);
  const auto second = make(change("x.example", "y.example", two), {first.get(), nullptr});
  EXPECT_EQ(built_, 1u);
  EXPECT_EQ(first->rule_sets[0], second->rule_sets[0]);
  const auto third = make(two, {second.get(), first.get()});
  EXPECT_EQ(built_, 0u) << "of the one that is kept";
  EXPECT_EQ(third->rule_sets, first->rule_sets);
  // What the cache knows of one generation's routing holds for no other.
  EXPECT_NE(first->snapshot->networks[0].routing, third->snapshot->networks[0].routing);
  EXPECT_THAT(rules(compare(*first, *third, true)), IsEmpty());
}

TEST_F(Generations, HandlesFollowNamesNotPlaces) {
  const auto first = make(conf::kBase);
  std::string moved =
      "[[upstream]]\nname = \"first\"\ntargets = [\"192.0.2.9\"]\n\n" + std::string(conf::kBase);
  const auto second = make(moved, {first.get()});
  EXPECT_EQ(built_, 0u);
  const auto& rule = second->rule_sets[0]->set->rule(0);
  EXPECT_EQ(second->snapshot->upstreams[rule.argument].name, "corp-dns");
}

/// The files of an endpoint's certificate, and the configuration that names them.
class Certified : public Generations {
 protected:
  Certified() {
    std::string pattern = (std::filesystem::temp_directory_path() / "shunt-test-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    write(1);
  }
  ~Certified() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  void write(std::int64_t serial) const {
    const auto made = testing::make_certificate({.serial = serial});
    std::ofstream(folder_ + "/gw.pem", std::ios::trunc) << made.chain;
    std::ofstream(folder_ + "/gw.key", std::ios::trunc) << made.key;
  }
  std::string text(const std::string& more = "") const {
    return change("\n[[outbound]]", "tls = { certificate = \"" + folder_ + "/gw.pem\", key = \"" + folder_ +
                                        "/gw.key\"" + more + " }\n\n[[outbound]]");
  }
  static std::shared_ptr<const TlsContext> context_of(const Generation& generation) {
    for (const TcpEndpoint& endpoint : generation.tcp_endpoints) {
      if (endpoint.kind == StreamKind::kTls) return endpoint.tls;
    }
    return nullptr;
  }
  static std::int64_t serial_of(const Generation& generation) {
    return ASN1_INTEGER_get(X509_get0_serialNumber(context_of(generation)->certificate().chain[0].get()));
  }
  std::string folder_;
};

TEST_F(Certified, AChangedFileIsAChangeAndAnotherContext) {
  const auto first = make(text());
  const auto same = make(text(), {first.get()});
  EXPECT_THAT(tables(compare(*first, *same, false)), IsEmpty());
  EXPECT_EQ(context_of(*first), context_of(*same)) << "its tickets live on";
  write(2);
  const auto second = make(text(), {same.get()});
  EXPECT_THAT(tables(compare(*same, *second, false)), ElementsAre("~ inbound from-onprem tls"));
  EXPECT_EQ(serial_of(*second), 2);
  const auto third = make(text(", https_path = \"/x\""), {second.get()});
  EXPECT_THAT(tables(compare(*second, *third, false)), ElementsAre("~ inbound from-onprem tls"));
  const auto without = make(conf::kBase, {third.get()});
  EXPECT_THAT(tables(compare(*third, *without, false)), ElementsAre("~ inbound from-onprem tls"));
}

TEST_F(Certified, ARollbackBringsTheCertificateBackThatTheFileHasNoMore) {
  const auto first = make(text());
  write(2);
  const auto second = make(text(), {first.get()});
  std::filesystem::remove(folder_ + "/gw.key");
  const auto again = make_again(*first, 3, kKey, registry_);
  ASSERT_TRUE(again) << again.error();
  EXPECT_EQ(serial_of(**again), 1);
  EXPECT_EQ(context_of(**again), context_of(*first));
  EXPECT_THAT(tables(compare(*second, **again, false)), ElementsAre("~ inbound from-onprem tls"));
}

TEST_F(Generations, ChangesAreToldByName) {
  const auto first = make(below("[[rules]]\nname = \"gone\"\nlist = [\"g.example system\"]\n"));
  std::string text =
      change("\"onprem.corp forward corp-dns\"",
             "\"=a.corp answer A 192.0.2.1\", \"*.b.corp block drop\", \"onprem.corp system\"");
  text = change("default = \"internet\"", "default = \"corp-dns\"\nautodefined = false", text);
  text = change("name = \"to-onprem\"\naddresses",
                "name = \"to-onprem\"\nsource_ports = [2000, 60000]\naddresses", text);
  const auto second =
      make(text + "\n[limits]\ntcp_idle_ms = 5000\n[[upstream]]\nname = \"new\"\ntargets = [\"192.0.2.9\"]\n",
           {first.get()});
  const Changes changes = compare(*first, *second, true);
  EXPECT_THAT(tables(changes),
              ElementsAre("~ limits  tcp_idle_ms", "~ outbound to-onprem source_ports", "+ upstream new",
                          "- rules gone", "~ network prod default autodefined"));
  EXPECT_THAT(rules(changes),
              ElementsAre("corp: =a.corp:  > answer A 192.0.2.1", "corp: *.b.corp:  > block drop",
                          "corp: onprem.corp: forward corp-dns > system", "gone: g.example: system > "));
  EXPECT_EQ(changes.added, 2u);
  EXPECT_EQ(changes.removed, 1u);
  EXPECT_EQ(changes.changed, 1u);
  EXPECT_THAT(rules(compare(*first, *second, false)), IsEmpty());
  EXPECT_EQ(compare(*second, *first, true).removed, 2u);
}

/// A zone file, gone when the test ends.
class ZoneOnDisk {
 public:
  explicit ZoneOnDisk(std::string_view host) { write(host); }
  ~ZoneOnDisk() { std::remove(path_.c_str()); }
  ZoneOnDisk(const ZoneOnDisk&) = delete;
  ZoneOnDisk& operator=(const ZoneOnDisk&) = delete;
  void write(std::string_view host) {
    std::ofstream(path_) << "$ORIGIN z.example.\n@ 60 SOA ns host 1 3600 600 86400 60\n"
                         << host << " A 192.0.2.1\n";
  }
  std::string table(std::string_view network) const {
    return "[[zone]]\nfile = \"" + path_ + "\"\nnetworks = [\"" + std::string(network) + "\"]\n";
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_ = ::testing::TempDir() + "generation-" + std::to_string(getpid()) + ".zone";
};

constexpr std::string_view kLab = "[[network]]\nname = \"lab\"\nclients = [\"10.9.0.0/16\"]\n";

TEST_F(Generations, ZonesAreToldByNameWhateverTablesNameThem) {
  ZoneOnDisk zone("a");
  const std::string lab(kLab), named = "zone z.example. (" + zone.path() + ")";
  const auto none = make(below(lab));
  const auto both = make(below(lab + zone.table("prod") + zone.table("lab")));
  const auto one = make(below(lab + zone.table("prod")));
  EXPECT_THAT(tables(compare(*none, *both, true)), ElementsAre("+ " + named));
  EXPECT_THAT(tables(compare(*both, *both, true)), IsEmpty());
  EXPECT_THAT(tables(compare(*both, *one, true)), ElementsAre("~ " + named + " networks"));
  EXPECT_THAT(tables(compare(*one, *none, true)), ElementsAre("- " + named));
  zone.write("b");
  const auto written = make(below(lab + zone.table("prod")));
  EXPECT_THAT(tables(compare(*one, *written, true)), ElementsAre("~ " + named + " records"));
}

TEST_F(Generations, RollbackBringsBackZonesAsTheyWere) {
  ZoneOnDisk zone("a");
  const auto first = make(below(zone.table("prod")));
  zone.write("b");
  const auto second = make(below(zone.table("prod")), {first.get()});
  const auto third = make_again(*first, 3, kKey, registry_).value();
  const dns::Name host = dns::parse_name("a.z.example").value();
  const auto has_host = [&](const Generation& generation) {
    const conf::Zone* found = generation.zone_of(0, host, kKey);
    return found != nullptr && found->find(host.octets()) != nullptr;
  };
  EXPECT_TRUE(has_host(*first));
  EXPECT_FALSE(has_host(*second));
  EXPECT_TRUE(has_host(*third));
  EXPECT_NE(first->snapshot->networks[0].routing, third->snapshot->networks[0].routing);
}

TEST_F(Generations, NetworksThatPartHaveNoSuccessorInCommon) {
  const std::string more(kLab);
  const std::string alike =
      change("rules = [\"corp\"]\n", "", change("default = \"internet\"\n", "", below(more)));
  const auto first = make(alike);
  ASSERT_EQ(first->snapshot->networks.size(), 2u);
  if (first->snapshot->networks[0].routing != first->snapshot->networks[1].routing) FAIL() << "not alike";
  const auto same = make(alike + "# again\n");
  ASSERT_TRUE(find_successor(*first, 1, *same));
  EXPECT_EQ(same->snapshot->networks[*find_successor(*first, 1, *same)].routing,
            same->snapshot->networks[1].routing);
  const auto parted = make(alike + "autodefined = false\n");
  EXPECT_FALSE(find_successor(*first, 0, *parted));
  EXPECT_FALSE(find_successor(*first, 1, *parted));
  EXPECT_EQ(find_successor(*parted, 1, *first), 1u);
  const auto gone = make(change("name = \"lab\"", "name = \"other\"", alike));
  EXPECT_FALSE(find_successor(*first, 0, *gone));
}

TEST_F(Generations, OfManyChangesSomeAreNamedAndAllAreCounted) {
  std::string list;
  for (int i = 0; i < 3000; ++i)
    list += "\"n" + std::to_string(i) + ".corp system\", ";
  const auto first = make(conf::kBase);
  const auto second = make(change("\"onprem.corp forward corp-dns\"", list), {first.get()});
  const Changes changes = compare(*first, *second, true);
  EXPECT_EQ(changes.rules.size(), kMostNamedChanges);
  EXPECT_EQ(changes.added, 3000u);
  EXPECT_EQ(changes.removed, 1u);
}

TEST_F(Generations, OnesMadeAgainAreNewOnesOfTheSame) {
  const auto first = make(conf::kBase);
  const auto second = make(change("forward corp-dns", "block drop"), {first.get()});
  const auto third = make_again(*first, 3, kKey, registry_).value();
  EXPECT_EQ(third->number(), 3u);
  EXPECT_EQ(third->read_as, 1u);
  EXPECT_EQ(second->read_as, 2u);
  EXPECT_EQ(third->rule_sets, first->rule_sets);
  EXPECT_EQ(third->rules, first->rules);
  EXPECT_NE(third->snapshot->networks[0].routing, first->snapshot->networks[0].routing);
  EXPECT_EQ(third->snapshot->upstreams[0].origin, first->snapshot->upstreams[0].origin);
}

}  // namespace
}  // namespace shunt::control
