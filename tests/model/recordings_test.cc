#include "model/recordings.h"

#include <gtest/gtest.h>

#include "tests/reference/test_backend.h"

namespace ponder {
namespace {

TEST(Recordings, PadByAnEighthAtMost) {
  for (int64_t rows = 1; rows <= 4096; ++rows) {
    const int64_t padded = Recordings::PaddedRows(rows);
    ASSERT_GE(padded, rows);
    ASSERT_LE(padded, rows + rows / 8);
    ASSERT_EQ(Recordings::PaddedRows(padded), padded);
  }
  EXPECT_EQ(Recordings::PaddedRows(17), 18);
  EXPECT_EQ(Recordings::PaddedRows(255), 256);
}

// Counts up a number in the device's memory, so that doing, keeping and replaying can be told
// apart.
class RecordingsRun : public testing::Test {
 protected:
  void Run(const Recordings::Key& key) {
    recordings_.Run(*backend_, key, [&] {
      ++calls_;
      backend_->Linear({.x = one_.As<void>(),
                        .w = {.data = weight_.As<void>(),
                              .dtype = kernels::DType::kF32,
                              .outputs = 1,
                              .inputs = 1},
                        .y = sum_.As<float>(),
                        .store = kernels::Store::kAdd,
                        .rows = 1});
    });
  }
  float Sum() {
    float value = 0;
    backend_->CopyOut(&value, sum_.As<void>(), sizeof(value));
    return value;
  }
  kernels::DeviceBuffer One(int64_t bytes) {
    auto buffer = kernels::DeviceBuffer::Create(*backend_, bytes).value();
    const float one = 1;
    backend_->CopyIn(buffer.As<void>(), &one, sizeof(one));
    return buffer;
  }

  std::unique_ptr<kernels::Backend> backend_ = MakeTestBackend();
  kernels::DeviceBuffer one_ = One(32 * 4), weight_ = One(16 * 32 * 4);
  kernels::DeviceBuffer sum_ = kernels::DeviceBuffer::Create(*backend_, 4).value();
  Recordings recordings_;
  int calls_ = 0;
};

TEST_F(RecordingsRun, DoesTheWorkOnceAtEachCall) {
  for (int i = 1; i <= 5; ++i) {
    Run({.rows = 8});
    EXPECT_EQ(Sum(), static_cast<float>(i));
  }
  const bool records = backend_->Info().can_record;
  EXPECT_EQ(recordings_.Replays(), records ? 4 : 0);
  EXPECT_EQ(calls_, records ? 2 : 5);
}

TEST_F(RecordingsRun, StartsAnewForEveryKey) {
  int other = 0;
  for (const Recordings::Key& key :
       {Recordings::Key{.rows = 8}, Recordings::Key{.rows = 9},
        Recordings::Key{.rows = 8, .weights = &other}, Recordings::Key{.rows = 8, .cache = &other},
        Recordings::Key{.rows = 8, .batch = &other}, Recordings::Key{.rows = 8, .scratch = &other},
        Recordings::Key{.rows = 8, .scratch_rows = 1},
        Recordings::Key{.rows = 8, .rope_table = &other}}) {
    const int before = calls_;
    Run(key);
    EXPECT_EQ(calls_, before + 1);
  }
  EXPECT_EQ(recordings_.Replays(), 0);
}

TEST_F(RecordingsRun, KeepsABoundedNumber) {
  for (int64_t rows = 1; rows <= 1000; ++rows) Run({.rows = rows});
  EXPECT_EQ(Sum(), 1000.0f);
}

}  // namespace
}  // namespace ponder
