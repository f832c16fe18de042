#include "app/relearner.h"

#include <gtest/gtest.h>

namespace ponder {
namespace {

TEST(GroupsOfTest, TheRowsOfAGroupStayTogetherThoughATaskComesTwice) {
  std::vector<StoredCompletion> rows;
  for (const auto& [group, index] : {std::pair(3, 0), {3, 2}, {4, 3}, {4, 5}}) {
    StoredCompletion row;
    row.group = group;
    row.task.id = "twice";
    row.prompt_ids = {1, 2};
    row.temperature = 0.5f;
    row.advantage = static_cast<float>(index);
    row.completion.sample_index = index;
    rows.push_back(row);
  }
  const std::vector<ScoredGroup> groups = GroupsOf(rows);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[1].group.completions.size(), 2u);
  EXPECT_EQ(groups[1].group.prompt_ids, rows[0].prompt_ids);
  EXPECT_EQ(groups[1].group.temperature, 0.5f);
  EXPECT_EQ(groups[1].advantages, (std::vector<float>{3, 5}));
}

}  // namespace
}  // namespace ponder
