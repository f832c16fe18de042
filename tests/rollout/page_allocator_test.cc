#include "rollout/page_allocator.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <set>

#include "base/check.h"
#include "base/random.h"

namespace ponder {
namespace {

std::vector<int32_t> PageOf(int32_t first) {
  std::vector<int32_t> tokens(kernels::kPageTokens);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

TEST(PageAllocator, HandsOutEachPageOnce) {
  PageAllocator pages(3);
  const std::set<int32_t> taken = {pages.Take(), pages.Take(), pages.Take()};
  EXPECT_EQ(taken, (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ(pages.Free(), 0);
  EXPECT_THROW(pages.Take(), CheckFailure);
}

TEST(PageAllocator, APageIsFreeWhenItsLastHolderLetsGo) {
  PageAllocator pages(2);
  const int32_t page = pages.Take();
  pages.Retain(page);
  pages.Release(page);
  EXPECT_EQ(pages.Free(), 1);
  pages.Release(page);
  EXPECT_EQ(pages.Free(), 2);
  EXPECT_THROW(pages.Release(page), CheckFailure);
}

TEST(PageAllocator, FindsContentBehindTheSamePrefixOnly) {
  PageAllocator pages(4);
  const int32_t first = pages.Take();
  pages.Publish(first, -1, PageOf(0));
  const int32_t second = pages.Take();
  pages.Publish(second, first, PageOf(16));
  EXPECT_EQ(pages.Find(-1, PageOf(0)), first);
  EXPECT_EQ(pages.Find(first, PageOf(16)), second);
  EXPECT_EQ(pages.Find(-1, PageOf(16)), std::nullopt);
  EXPECT_EQ(pages.Find(second, PageOf(16)), std::nullopt);
  EXPECT_EQ(pages.Find(first, PageOf(17)), std::nullopt);
}

TEST(PageAllocator, AReleasedPageIsFoundUntilItIsTakenAgain) {
  PageAllocator pages(2);
  const int32_t page = pages.Take();
  pages.Publish(page, -1, PageOf(0));
  pages.Release(page);
  ASSERT_EQ(pages.Find(-1, PageOf(0)), page);
  pages.Retain(page);
  EXPECT_EQ(pages.Free(), 1);
  pages.Release(page);
  pages.Take();  // the one never used is taken first: it was released longer ago
  EXPECT_EQ(pages.Find(-1, PageOf(0)), page);
  EXPECT_EQ(pages.Take(), page);
  EXPECT_EQ(pages.Find(-1, PageOf(0)), std::nullopt);
}

TEST(PageAllocator, ContentBehindATakenPageIsNotFoundUnderItsNewContent) {
  PageAllocator pages(2);
  const int32_t parent = pages.Take();
  const int32_t child = pages.Take();
  pages.Publish(parent, -1, PageOf(0));
  pages.Publish(child, parent, PageOf(16));
  pages.Release(parent);
  ASSERT_EQ(pages.Take(), parent);
  pages.Publish(parent, -1, PageOf(100));
  EXPECT_EQ(pages.Find(parent, PageOf(16)), std::nullopt);
}

TEST(PageAllocator, KeepsTheFirstOfTwoPagesWithEqualContent) {
  PageAllocator pages(2);
  const int32_t first = pages.Take(), second = pages.Take();
  pages.Publish(first, -1, PageOf(0));
  pages.Publish(second, -1, PageOf(0));
  EXPECT_EQ(pages.Find(-1, PageOf(0)), first);
  pages.Release(second);
  ASSERT_EQ(pages.Take(), second);
  EXPECT_EQ(pages.Find(-1, PageOf(0)), first);
}

TEST(PageAllocator, ForgetsContentButNotHolders) {
  PageAllocator pages(2);
  const int32_t page = pages.Take();
  pages.Publish(page, -1, PageOf(0));
  pages.ForgetContent();
  EXPECT_EQ(pages.Find(-1, PageOf(0)), std::nullopt);
  EXPECT_EQ(pages.References(page), 1);
  EXPECT_EQ(pages.Free(), 1);
}

// Random operations against a model that is nothing but maps.
TEST(PageAllocator, AgreesWithAPlainModelOverRandomOperations) {
  RandomStream random(MakeRandomKey(1, "page allocator test"));
  PageAllocator pages(8);
  std::map<int32_t, int64_t> references;
  std::map<int32_t, int32_t> content;  // page -> first token; all at the start of a sequence
  for (int step = 0; step < 20000; ++step) {
    const auto page = static_cast<int32_t>(random.Between(0, 7));
    switch (random.Between(0, 4)) {
      case 0:
        if (references.size() < 8) {
          const int32_t taken = pages.Take();
          ASSERT_FALSE(references.contains(taken));
          references[taken] = 1;
          content.erase(taken);
        }
        break;
      case 1:
        if (references.contains(page) || content.contains(page)) {
          pages.Retain(page);
          ++references[page];
        }
        break;
      case 2:
        if (references.contains(page)) {
          pages.Release(page);
          if (--references[page] == 0) references.erase(page);
        }
        break;
      case 3:
        if (references.contains(page) && !content.contains(page)) {
          const auto first = static_cast<int32_t>(random.Between(0, 9));
          pages.Publish(page, -1, PageOf(first));
          bool known = false;
          for (const auto& [other, token] : content) known |= token == first;
          if (!known) content[page] = first;
        }
        break;
      case 4:
        if (random.Between(0, 99) == 0) {
          pages.ForgetContent();
          content.clear();
        }
        break;
    }
    ASSERT_EQ(pages.Free(), 8 - static_cast<int64_t>(references.size()));
    for (int32_t first = 0; first < 10; ++first) {
      std::optional<int32_t> expected;
      for (const auto& [other, token] : content) {
        if (token == first) expected = other;
      }
      ASSERT_EQ(pages.Find(-1, PageOf(first)), expected);
    }
  }
}

}  // namespace
}  // namespace ponder
