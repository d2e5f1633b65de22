// A growable array of plain records in pages of its own, mapped for it alone and given back whole: a thousand
// rule sets that come and go leave no holes in the heap. Large arrays ask for transparent huge pages, because
// a lookup in millions of rules is bound by misses of the address cache as much as by those of the data.
//
// Not thread-safe while it grows. Throws std::bad_alloc where the kernel has no memory.
#pragma once

#include <sys/mman.h>

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

namespace shunt::rules {

// AddressSanitizer guards heap blocks but not mappings: under it the array lives in the heap.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kMapPages = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool kMapPages = false;
#else
inline constexpr bool kMapPages = true;
#endif
#else
inline constexpr bool kMapPages = true;
#endif

/// Takes zeroed memory for `*octets`, rounded up to what was taken. Aligned to a cache line at least.
inline void* map_octets(std::size_t* octets) {
  constexpr std::size_t kPage = 4096, kHugePage = std::size_t{2} << 20;
  if constexpr (!kMapPages) {
    constexpr std::size_t kAlignment = 64;
    void* p = std::aligned_alloc(kAlignment, (*octets + kAlignment - 1) / kAlignment * kAlignment);
    if (p == nullptr) throw std::bad_alloc();
    std::memset(p, 0, *octets);
    return p;
  }
  const bool huge = *octets >= kHugePage;
  *octets = (*octets + kPage - 1) / kPage * kPage;
  const std::size_t slack = huge ? kHugePage : 0;
  void* p = mmap(nullptr, *octets + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  if (!huge) return p;
  // Start on a huge page and give back what lies around.
  char* const mapped = static_cast<char*>(p);
  const std::size_t before = (kHugePage - reinterpret_cast<std::uintptr_t>(p) % kHugePage) % kHugePage;
  if (before > 0) munmap(mapped, before);
  if (slack > before) munmap(mapped + before + *octets, slack - before);
  madvise(mapped + before, *octets, MADV_HUGEPAGE);  // advice: without huge pages it is slower, not wrong
  return mapped + before;
}

inline void unmap_octets(void* p, std::size_t octets) {
  if constexpr (kMapPages) {
    munmap(p, octets);
  } else {
    std::free(p);
  }
}

template <typename T>
class MappedArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  MappedArray() = default;
  ~MappedArray() { release(); }
  MappedArray(const MappedArray&) = delete;
  MappedArray& operator=(const MappedArray&) = delete;
  MappedArray(MappedArray&& other) noexcept { swap(other); }
  MappedArray& operator=(MappedArray&& other) noexcept {
    swap(other);
    return *this;
  }

  std::size_t size() const { return size_; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  std::size_t memory_octets() const { return octets_; }

  void reserve(std::size_t n) {
    if (n > capacity()) move_to(n);
  }
  void push_back(const T& value) {
    make_room(1);
    data_[size_++] = value;
  }
  void append(const T* from, std::size_t n) {
    make_room(n);
    std::memcpy(static_cast<void*>(data_ + size_), from, n * sizeof(T));
    size_ += n;
  }
  /// Adds `n` records of zero octets: what lies behind the last record was never written.
  void append_zeros(std::size_t n) {
    make_room(n);
    size_ += n;
  }
  /// Room for `n` more records; capacity grows by half at least.
  void make_room(std::size_t n) {
    if (size_ + n <= capacity()) return;
    const std::size_t grown = capacity() + capacity() / 2;
    move_to(size_ + n > grown ? size_ + n : grown);
  }
  /// Gives back pages that hold nothing.
  void shrink() {
    if constexpr (kMapPages) {
      constexpr std::size_t kPage = 4096;
      const std::size_t used = (size_ * sizeof(T) + kPage - 1) / kPage * kPage;
      if (used >= octets_ || used == 0) return;
      munmap(reinterpret_cast<char*>(data_) + used, octets_ - used);
      octets_ = used;
    } else if (size_ < capacity() && size_ > 0) {
      move_to(size_);
    }
  }
  void swap(MappedArray& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(octets_, other.octets_);
  }

 private:
  std::size_t capacity() const { return octets_ / sizeof(T); }
  void move_to(std::size_t n) {
    assert(n >= size_);
    std::size_t octets = n * sizeof(T);
    T* const moved = static_cast<T*>(map_octets(&octets));
    if (size_ > 0) std::memcpy(static_cast<void*>(moved), data_, size_ * sizeof(T));
    if (data_ != nullptr) unmap_octets(data_, octets_);
    data_ = moved;
    octets_ = octets;
  }
  void release() {
    if (data_ != nullptr) unmap_octets(data_, octets_);
    data_ = nullptr;
    size_ = octets_ = 0;
  }

  T* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t octets_ = 0;
};

}  // namespace shunt::rules
