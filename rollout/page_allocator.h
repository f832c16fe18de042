#pragma once

#include <absl/container/flat_hash_map.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/kv_cache.h"

namespace ponder {

// Which page of the key/value cache belongs to whom: a reference count a page, and an index from
// content to page, so that equal prefixes are computed once and shared. A page nobody refers to
// keeps its content until it is taken again, the one released longest ago first.
//
// Content is identified exactly, without hashing it away: a page's key is its 16 tokens and the
// page before it, which stands for everything before. Pages are indexed only when all their tokens
// are known and about to be computed. Not thread-safe.
class PageAllocator {
 public:
  explicit PageAllocator(int64_t pages);

  int64_t Total() const { return static_cast<int64_t>(pages_.size()); }
  int64_t Free() const { return free_; }  // nobody refers to them
  int64_t References(int32_t page) const { return pages_[page].references; }

  // A page for one holder; what it held is forgotten. Requires Free() > 0.
  int32_t Take();
  // One more holder of a page that has one, or that Find has just returned.
  void Retain(int32_t page);
  // One holder less. Release a sequence's pages back to front: the ends of prefixes are then taken
  // first.
  void Release(int32_t page);

  // The indexed page with these 16 tokens behind `parent` (-1: at the start of a sequence).
  std::optional<int32_t> Find(int32_t parent, std::span<const int32_t> tokens) const;
  // Indexes a held page; does nothing where equal content is indexed already.
  void Publish(int32_t page, int32_t parent, std::span<const int32_t> tokens);
  // Nothing is found any more (the weights have changed). Holders keep their pages.
  void ForgetContent();

 private:
  struct Key {
    int32_t parent = -1;
    uint32_t parent_generation = 0;
    std::array<int32_t, kernels::kPageTokens> tokens{};

    bool operator==(const Key&) const = default;
    template <typename H>
    friend H AbslHashValue(H state, const Key& key) {
      return H::combine(std::move(state), key.parent, key.parent_generation, key.tokens);
    }
  };
  struct Page {
    int64_t references = 0;
    uint32_t generation = 0;  // counts the times it was taken: keys of older content lead nowhere
    bool indexed = false;
    Key key;
    int32_t previous = -1, next = -1;  // in the list of free pages
  };

  Key MakeKey(int32_t parent, std::span<const int32_t> tokens) const;
  void Unindex(Page& page);
  void AppendFree(int32_t page);
  void RemoveFree(int32_t page);

  std::vector<Page> pages_;
  absl::flat_hash_map<Key, int32_t> index_;
  int64_t free_ = 0;
  int32_t first_free_ = -1, last_free_ = -1;
};

}  // namespace ponder
