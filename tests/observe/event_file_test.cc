#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <bit>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "base/file.h"
#include "observe/event_record.h"
#include "observe/metric_sink.h"
#include "tests/observe/store_records.h"

namespace ponder {
namespace {

std::string Hex(std::string_view bytes) {
  std::string hex;
  for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return hex;
}

// The vectors of RFC 3720 (iSCSI), B.4, and the check value of CRC catalogues.
TEST(EventRecordTest, ComputesCrc32cAsPublished) {
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
}

// Bytes that tensorboard's own writer made of the same messages.
TEST(EventRecordTest, WritesTheBytesThatTensorBoardWrites) {
  EXPECT_EQ(Hex(FrameTfRecord(EncodeVersionEvent(1.5))),
            "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c");
  EXPECT_EQ(Hex(FrameTfRecord(EncodeScalarEvent(1.5, 300, {{"a/b", 0.25}, {"c", -1}}))),
            "2400000000000000422b804d09000000000000f83f10ac022a160a0a0a03612f62150000803e0a080a0163"
            "15000080bf139dbadb");
}

// As before.
TEST(EventRecordTest, WritesHistogramsAndTextsAsTensorBoardDoes) {
  const Histogram histogram{.count = 3,
                            .min = 1,
                            .max = 3,
                            .sum = 6,
                            .sum_squares = 14,
                            .limits = {2, 3},
                            .counts = {2, 1}};
  EXPECT_EQ(
      Hex(EncodeSampleEvent(1.5, 300, {{"h", histogram}}, {{"t", "hi"}})),
      "09000000000000f83f10ac022a730a560a01682a5109000000000000f03f11000000000000084019000000"
      "0000000840210000000000001840290000000000002c403210000000000000004000000000000008403a10"
      "0000000000000040000000000000f03f0a190a0174420808071200420268694a0a0a060a04746578742002");
}

// The file cut into payloads; a broken frame ends the list with "broken".
std::vector<std::string> Payloads(std::string_view file) {
  std::vector<std::string> payloads;
  while (!file.empty()) {
    uint64_t size = 0;
    if (file.size() >= 16) std::memcpy(&size, file.data(), sizeof(size));
    if (file.size() < 16 || file.size() - 16 < size ||
        file.substr(0, 16 + size) != FrameTfRecord(file.substr(12, size))) {
      payloads.push_back("broken");
      break;
    }
    payloads.emplace_back(file.substr(12, size));
    file.remove_prefix(16 + size);
  }
  return payloads;
}

class EventFileTest : public ::testing::Test {
 protected:
  EventFileTest() : directory_(FreshDirectory()) {}
  ~EventFileTest() override { std::filesystem::remove_all(directory_); }

  std::vector<std::string> Files() const {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      files.push_back(entry.path().string());
    }
    std::sort(files.begin(), files.end());
    return files;
  }

  const std::string directory_;
};

TEST_F(EventFileTest, BeginsWithTheVersionAndHoldsARecordAStep) {
  auto sink = CreateEventFileSink(directory_);
  ASSERT_TRUE(sink.ok()) << sink.status();
  ASSERT_TRUE((*sink)->WriteStep(1, {{"a", 1.0}}).ok());
  ASSERT_TRUE((*sink)->WriteStep(2, {}).ok());
  ASSERT_TRUE((*sink)->WriteStep(-1, {{"a", std::numeric_limits<double>::quiet_NaN()}}).ok());
  ASSERT_TRUE((*sink)->Flush().ok());
  ASSERT_EQ(Files().size(), 1u);
  EXPECT_THAT(Files()[0], ::testing::HasSubstr("/events.out.tfevents."));
  // Readable before the sink is gone.
  const std::vector<std::string> payloads = Payloads(*ReadFile(Files()[0]));
  ASSERT_EQ(payloads.size(), 4u);
  EXPECT_THAT(payloads[0], ::testing::HasSubstr("brain.Event:2"));
  double wall_time = 0;
  std::memcpy(&wall_time, payloads[1].data() + 1, sizeof(wall_time));
  EXPECT_EQ(payloads[1], EncodeScalarEvent(wall_time, 1, {{"a", 1.0}}));
  EXPECT_GT(wall_time, 1.7e9);
}

TEST_F(EventFileTest, HoldsAStepsCompletionsInALimitedSize) {
  auto sink = CreateEventFileSink(directory_);
  ASSERT_TRUE(sink.ok()) << sink.status();
  StepRecord record = MakeStep("train", 5, {.groups = 3, .completions = 4, .tokens = 64});
  for (ScoredGroup& scored : record.groups) {
    scored.group.prompt = std::string(100000, '\xff');
    for (Completion& completion : scored.group.completions) completion.text = scored.group.prompt;
    for (Verdict& verdict : scored.verdicts) verdict.reason = scored.group.prompt;
    for (size_t i = 0; i < scored.rewards.size(); ++i) {
      scored.rewards[i].total = static_cast<double>(i);
      for (int part = 0; part < 1000; ++part) {
        scored.rewards[i].parts[std::string(100, 'p') + std::to_string(part)] = part;
      }
    }
  }
  ASSERT_TRUE((*sink)->WriteGroups(5, record.groups).ok());
  const std::vector<std::string> payloads = Payloads(*ReadFile(Files()[0]));
  ASSERT_EQ(payloads.size(), 2u);
  EXPECT_LT(payloads[1].size(), 24u << 10);
  for (const char* tag : {"completions/length", "completions/reward", "completions/advantage",
                          "tokens/logprob", "tokens/entropy", "samples/best", "samples/worst"}) {
    EXPECT_THAT(payloads[1], ::testing::HasSubstr(tag));
  }
  ASSERT_TRUE((*sink)->WriteGroups(6, {}).ok());
}

TEST_F(EventFileTest, BeginsANewFileEachTime) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(CreateEventFileSink(directory_).ok());
  EXPECT_EQ(Files().size(), 3u);
}

TEST_F(EventFileTest, TakesBackHalfARecordWhenTheDiskIsFull) {
  auto sink = CreateEventFileSink(directory_);
  ASSERT_TRUE((*sink)->WriteStep(1, {{"a", 1.0}}).ok());
  const auto whole = std::filesystem::file_size(Files()[0]);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit limit = before;
  limit.rlim_cur = whole + 10;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const absl::Status status = (*sink)->WriteStep(2, {{"a", 2.0}});
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(std::filesystem::file_size(Files()[0]), whole);
  ASSERT_TRUE((*sink)->WriteStep(2, {{"a", 2.0}}).ok());
  const std::vector<std::string> payloads = Payloads(*ReadFile(Files()[0]));
  EXPECT_EQ(payloads.size(), 3u);
  EXPECT_NE(payloads.back(), "broken");
}

TEST_F(EventFileTest, SaysWhereItCannotWrite) {
  ASSERT_TRUE(WriteFileAtomically(directory_ + "/file", "").ok());
  EXPECT_FALSE(CreateEventFileSink(directory_ + "/file").ok());
}

}  // namespace
}  // namespace ponder
