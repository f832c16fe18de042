#include "base/bounded_queue.h"

#include <gtest/gtest.h>

#include <thread>

namespace ponder {
namespace {

TEST(BoundedQueueTest, GivesItemsInOrder) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.Push(1));
  EXPECT_TRUE(queue.Push(2));
  EXPECT_EQ(queue.Size(), 2u);
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_EQ(queue.Pop(), 2);
}

TEST(BoundedQueueTest, AFullQueueRefusesWithinTheTimeGiven) {
  BoundedQueue<int> queue(1);
  EXPECT_TRUE(queue.Push(1));
  EXPECT_FALSE(queue.Push(2, absl::Milliseconds(1)));
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_EQ(queue.Pop(absl::Milliseconds(1)), std::nullopt);
}

TEST(BoundedQueueTest, CloseLetsTheRestOutAndNothingIn) {
  BoundedQueue<int> queue(4);
  EXPECT_TRUE(queue.Push(1));
  queue.Close();
  EXPECT_FALSE(queue.Push(2));
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_EQ(queue.Pop(), std::nullopt);
}

TEST(BoundedQueueTest, CarriesEverythingBetweenThreads) {
  BoundedQueue<int> queue(3);
  std::thread producer([&] {
    for (int i = 0; i < 1000; ++i) ASSERT_TRUE(queue.Push(i));
    queue.Close();
  });
  int expected = 0;
  while (std::optional<int> item = queue.Pop()) EXPECT_EQ(*item, expected++);
  EXPECT_EQ(expected, 1000);
  producer.join();
}

TEST(BoundedQueueTest, CloseWakesAWaitingPusher) {
  BoundedQueue<int> queue(1);
  ASSERT_TRUE(queue.Push(1));
  std::thread pusher([&] { EXPECT_FALSE(queue.Push(2)); });
  queue.Close();
  pusher.join();
}

}  // namespace
}  // namespace ponder
