// The DNS layer's share of a packet: parsing, lower-casing, hashing. Messages differ in length and shape, too
// many of them for the branch predictor to learn, few enough for the second-level cache: what is measured is
// instructions and wrong guesses.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "dataplane/base/random.h"
#include "dataplane/dns/query.h"
#include "dataplane/dns/reply.h"
#include "tests/support/dns_messages.h"

namespace {

using namespace shunt;
using namespace shunt::dns;
using namespace shunt::testing;

constexpr std::size_t kMessages = 2048;

/// Two to five labels, 8 to 50 octets: like names that resolvers see.
Bytes some_name(Random& random) {
  Bytes name;
  for (unsigned labels = 1 + random.below(3); labels > 0; --labels) {
    std::string text;
    for (unsigned left = 1 + random.below(12); left > 0; --left) {
      text += static_cast<char>((random.below(8) == 0 ? 'A' : 'a') + random.below(26));
    }
    append(name, label(text));
  }
  append(name, wire_name(random.below(2) == 0 ? "example.com" : "corp.example"));
  return name;
}

enum Shape { kPlain, kEdns, kCookie };

std::vector<Bytes> queries(Shape shape) {
  Random random(Random::Seed{1});
  std::vector<Bytes> out;
  for (std::size_t i = 0; i < kMessages; ++i) {
    MessageBuilder b(random.below(65536));
    b.question(some_name(random), random.below(2) == 0 ? 1 : 28);
    if (shape == kEdns) b.opt();
    if (shape == kCookie) b.opt({.options = option(10, 8)});
    out.push_back(b.build());
  }
  return out;
}

/// An alias, two addresses and an OPT.
std::vector<Bytes> answers() {
  Random random(Random::Seed{2});
  std::vector<Bytes> out;
  for (std::size_t i = 0; i < kMessages; ++i) {
    MessageBuilder b(random.below(65536), kQr | kRd | kRa);
    b.question(some_name(random), 1);
    b.answer(pointer(12), 5, 300, wire_name("alias"));
    for (int n = 0; n < 2; ++n)
      b.answer(wire_name("alias"), 1, 60, Bytes(4));
    out.push_back(b.opt().build());
  }
  return out;
}

void count(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kMessages));
}

void parse_queries(benchmark::State& state) {
  const std::vector<Bytes> messages = queries(static_cast<Shape>(state.range(0)));
  Question q;
  for (auto _ : state) {
    for (const Bytes& m : messages) {
      benchmark::DoNotOptimize(parse_query(m, q));
      benchmark::ClobberMemory();
    }
  }
  count(state);
}
BENCHMARK(parse_queries)->ArgName("shape")->Arg(kPlain)->Arg(kEdns)->Arg(kCookie);

void read_and_hash_names(benchmark::State& state) {
  const std::vector<Bytes> messages = queries(kPlain);
  const HashKey key;
  Name name;
  std::uint64_t hashes[kMaxLabels + 1];
  for (auto _ : state) {
    for (const Bytes& m : messages) {
      read_name(std::span(m).subspan(kHeaderSize), name);
      hash_suffixes(key, name, hashes);
      benchmark::DoNotOptimize(hashes[name.labels]);
    }
  }
  count(state);
}
BENCHMARK(read_and_hash_names);

void hash_names(benchmark::State& state) {
  Random random(Random::Seed{3});
  const HashKey key;
  std::vector<Name> names(kMessages);
  for (Name& n : names)
    read_name(some_name(random), n);
  std::uint64_t hashes[kMaxLabels + 1];
  for (auto _ : state) {
    for (const Name& n : names) {
      hash_suffixes(key, n, hashes);
      benchmark::DoNotOptimize(hashes[n.labels]);
    }
  }
  count(state);
}
BENCHMARK(hash_names);

void parse_replies(benchmark::State& state) {
  const std::vector<Bytes> messages = answers();
  Reply reply;
  Name name;
  for (auto _ : state) {
    for (const Bytes& m : messages) {
      benchmark::DoNotOptimize(parse_reply(m, reply, name));
      benchmark::ClobberMemory();
    }
  }
  count(state);
}
BENCHMARK(parse_replies);

void make_error_replies(benchmark::State& state) {
  std::vector<Bytes> messages = queries(kEdns);
  std::vector<Question> questions(kMessages);
  for (std::size_t i = 0; i < kMessages; ++i) {
    parse_query(messages[i], questions[i]);
    messages[i].resize(512);
  }
  for (auto _ : state) {
    for (std::size_t i = 0; i < kMessages; ++i) {
      benchmark::DoNotOptimize(
          make_reply(messages[i].data(), messages[i].size(), questions[i],
                     {.rcode = Rcode::kServFail, .error = ExtendedError::kNetworkError}));
    }
  }
  count(state);
}
BENCHMARK(make_error_replies);

void random_draws(benchmark::State& state) {
  Random random(Random::Seed{4});
  for (auto _ : state)
    benchmark::DoNotOptimize(random.next32());
}
BENCHMARK(random_draws);

}  // namespace
