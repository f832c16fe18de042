#include "rollout/page_allocator.h"

#include <algorithm>

#include "base/check.h"

namespace ponder {

PageAllocator::PageAllocator(int64_t pages) : pages_(pages) {
  for (int64_t page = 0; page < pages; ++page) AppendFree(static_cast<int32_t>(page));
}

int32_t PageAllocator::Take() {
  PONDER_CHECK(free_ > 0);
  const int32_t taken = first_free_;
  RemoveFree(taken);
  Page& page = pages_[taken];
  Unindex(page);
  ++page.generation;
  page.references = 1;
  return taken;
}

void PageAllocator::Retain(int32_t page) {
  if (pages_[page].references == 0) {
    PONDER_CHECK(pages_[page].indexed);
    RemoveFree(page);
  }
  ++pages_[page].references;
}

void PageAllocator::Release(int32_t page) {
  PONDER_CHECK(pages_[page].references > 0);
  if (--pages_[page].references == 0) AppendFree(page);
}

std::optional<int32_t> PageAllocator::Find(int32_t parent, std::span<const int32_t> tokens) const {
  const auto found = index_.find(MakeKey(parent, tokens));
  if (found == index_.end()) return std::nullopt;
  return found->second;
}

void PageAllocator::Publish(int32_t page, int32_t parent, std::span<const int32_t> tokens) {
  Page& entry = pages_[page];
  PONDER_CHECK(entry.references > 0 && !entry.indexed);
  const Key key = MakeKey(parent, tokens);
  if (!index_.try_emplace(key, page).second) return;
  entry.key = key;
  entry.indexed = true;
}

void PageAllocator::ForgetContent() {
  index_.clear();
  for (Page& page : pages_) page.indexed = false;
}

PageAllocator::Key PageAllocator::MakeKey(int32_t parent, std::span<const int32_t> tokens) const {
  PONDER_CHECK(std::ssize(tokens) == kernels::kPageTokens);
  Key key;
  key.parent = parent;
  key.parent_generation = parent < 0 ? 0 : pages_[parent].generation;
  std::ranges::copy(tokens, key.tokens.begin());
  return key;
}

void PageAllocator::Unindex(Page& page) {
  if (page.indexed) index_.erase(page.key);
  page.indexed = false;
}

void PageAllocator::AppendFree(int32_t page) {
  pages_[page].previous = last_free_;
  pages_[page].next = -1;
  (last_free_ < 0 ? first_free_ : pages_[last_free_].next) = page;
  last_free_ = page;
  ++free_;
}

void PageAllocator::RemoveFree(int32_t page) {
  const auto [previous, next] = std::pair(pages_[page].previous, pages_[page].next);
  (previous < 0 ? first_free_ : pages_[previous].next) = next;
  (next < 0 ? last_free_ : pages_[next].previous) = previous;
  --free_;
}

}  // namespace ponder
