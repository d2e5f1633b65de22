// Other ways to keep answers than state::Cache: a table from the question to a record of fixed size. They
// forget nothing, age nothing and don't evict. All look a burst up at once and call take(i, body) for hits.
#pragma once

#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_malloc.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bench/support.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/prefetch.h"

namespace shunt::bench {

/// All of a question that names its answer; short names, so that it can be compared and hashed as it is.
struct alignas(kCacheLine) QuestionRecord {
  std::uint32_t origin = 1;
  std::uint16_t type = 1, klass = 1;
  std::uint8_t flags = 1, length = 0;
  std::array<std::uint8_t, 54> name{};

  bool operator==(const QuestionRecord& other) const { return std::memcmp(this, &other, sizeof *this) == 0; }
  std::string_view octets() const { return {reinterpret_cast<const char*>(this), sizeof *this}; }
};
static_assert(sizeof(QuestionRecord) == kCacheLine);

struct AnswerRecord {
  std::uint16_t length = 0;
  std::array<std::uint8_t, 62> body{};

  void set(std::span<const std::uint8_t> from) {
    require(from.size() <= body.size(), "an answer is too long for its record");
    length = static_cast<std::uint16_t>(from.size());
    std::copy(from.begin(), from.end(), body.begin());
  }
  std::span<const std::uint8_t> octets() const { return {body.data(), length}; }
};
static_assert(sizeof(AnswerRecord) == kCacheLine);

/// DPDK's cuckoo table, in bulk, with the hash that the parser has made already.
class RteHashStore {
 public:
  explicit RteHashStore(std::size_t answers)
      : memory_(answers * sizeof(AnswerRecord)),
        records_(reinterpret_cast<AnswerRecord*>(memory_.octets().data())) {
    rte_malloc_socket_stats before{}, after{};
    rte_malloc_get_socket_stats(0, &before);
    rte_hash_parameters parameters{};
    parameters.name = "answers";
    parameters.entries = static_cast<std::uint32_t>(answers);
    parameters.key_len = sizeof(QuestionRecord);
    parameters.hash_func = rte_hash_crc;
    hash_ = rte_hash_create(&parameters);
    require(hash_ != nullptr, "rte_hash_create");
    rte_malloc_get_socket_stats(0, &after);
    octets_ = static_cast<double>(after.heap_allocsz_bytes - before.heap_allocsz_bytes +
                                  answers * sizeof(AnswerRecord));
  }
  ~RteHashStore() { rte_hash_free(hash_); }
  RteHashStore(const RteHashStore&) = delete;
  RteHashStore& operator=(const RteHashStore&) = delete;

  void insert(const QuestionRecord& question, std::uint64_t hash, std::span<const std::uint8_t> body) {
    AnswerRecord& record = records_[used_++];
    record.set(body);
    require(rte_hash_add_key_with_hash_data(hash_, &question, static_cast<hash_sig_t>(hash), &record) == 0,
            "rte_hash is full");
  }
  template <typename Take>
  void look_up(std::span<const QuestionRecord, kBurst> questions, const std::uint64_t* hashes,
               Take take) const {
    std::array<const void*, kBurst> keys;
    std::array<hash_sig_t, kBurst> signatures;
    std::array<void*, kBurst> data;
    std::uint64_t hits = 0;
    for (unsigned i = 0; i < kBurst; ++i) {
      keys[i] = &questions[i];
      signatures[i] = static_cast<hash_sig_t>(hashes[i]);
    }
    rte_hash_lookup_with_hash_bulk_data(hash_, keys.data(), signatures.data(), kBurst, &hits, data.data());
    for (std::uint64_t m = hits; m != 0; m &= m - 1)
      prefetch(data[static_cast<unsigned>(std::countr_zero(m))]);
    for (std::uint64_t m = hits; m != 0; m &= m - 1) {
      const auto i = static_cast<unsigned>(std::countr_zero(m));
      take(i, static_cast<const AnswerRecord*>(data[i])->octets());
    }
  }
  double memory_octets() const { return octets_; }

 private:
  HugeMemory memory_;
  AnswerRecord* records_;
  std::size_t used_ = 0;
  rte_hash* hash_;
  double octets_;
};

class MapStore {
 public:
  explicit MapStore(std::size_t answers) : before_(heap_octets()) { map_.reserve(answers); }
  void insert(const QuestionRecord& question, std::uint64_t, std::span<const std::uint8_t> body) {
    // As short as it can be kept: without what follows the name.
    AnswerRecord record;
    record.set(body);
    map_.emplace(key_of(question), record);
  }
  template <typename Take>
  void look_up(std::span<const QuestionRecord, kBurst> questions, const std::uint64_t*, Take take) const {
    for (unsigned i = 0; i < kBurst; ++i) {
      const auto found = map_.find(key_of(questions[i]));
      if (found != map_.end()) take(i, found->second.octets());
    }
  }
  double memory_octets() const { return heap_octets() - before_; }

 private:
  static std::string_view key_of(const QuestionRecord& question) {
    return question.octets().substr(0, offsetof(QuestionRecord, name) + question.length);
  }
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
  };
  double before_;
  std::unordered_map<std::string, AnswerRecord, Hash, std::equal_to<>> map_;
};

/// One place for each hash, and whoever comes later has it: the least that a lookup can cost.
class DirectStore {
 public:
  explicit DirectStore(std::size_t answers)
      : places_(std::bit_ceil(answers * 4)),
        memory_(places_ * sizeof(Entry)),
        entries_(reinterpret_cast<Entry*>(memory_.octets().data())) {}
  void insert(const QuestionRecord& question, std::uint64_t hash, std::span<const std::uint8_t> body) {
    Entry& e = entries_[hash & (places_ - 1)];
    e.question = question;
    e.answer.set(body);
  }
  template <typename Take>
  void look_up(std::span<const QuestionRecord, kBurst> questions, const std::uint64_t* hashes,
               Take take) const {
    for (unsigned i = 0; i < kBurst; ++i) {
      const Entry& e = entries_[hashes[i] & (places_ - 1)];
      prefetch(&e.question);
      prefetch(&e.answer);
    }
    for (unsigned i = 0; i < kBurst; ++i) {
      const Entry& e = entries_[hashes[i] & (places_ - 1)];
      if (e.question == questions[i]) take(i, e.answer.octets());
    }
  }
  double memory_octets() const { return static_cast<double>(places_ * sizeof(Entry)); }

 private:
  struct Entry {
    QuestionRecord question;
    AnswerRecord answer;
  };
  std::size_t places_;
  HugeMemory memory_;
  Entry* entries_;
};

}  // namespace shunt::bench
