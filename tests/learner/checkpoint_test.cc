#include "learner/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace ponder {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    root_ =
        fs::path(::testing::TempDir()) / fmt::format("checkpoint-{}-{}", test->name(), getpid());
    fs::create_directories(root_);
  }
  ~CheckpointTest() override { fs::remove_all(root_); }

  std::string Path(const std::string& name) const { return (root_ / name).string(); }
  void Write(const std::string& name, const std::string& content) const {
    fs::create_directories(fs::path(Path(name)).parent_path());
    ASSERT_TRUE(WriteFileAtomically(Path(name), content).ok());
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(root_))
      names.push_back(entry.path().filename().string());
    std::ranges::sort(names);
    return names;
  }

  // A state file of three chunks.
  std::string WriteThreeChunks() const {
    auto writer = StateWriter::Create(Path("state.bin"));
    EXPECT_TRUE(writer.ok());
    EXPECT_TRUE(writer->Append(1, "header").ok());
    EXPECT_TRUE(writer->Append(2, std::string(1000, 'a')).ok());
    EXPECT_TRUE(writer->Append(2, "").ok());
    EXPECT_TRUE(writer->Close().ok());
    return *ReadFile(Path("state.bin"));
  }

  fs::path root_;
};

absl::Status FillWith(const std::string& aside, const std::string& content) {
  return WriteFileAtomically(aside + "/model", content);
}

TEST_F(CheckpointTest, ReplacesAnOlderDirectoryAndLeavesNothingBeside) {
  for (const char* content : {"one", "two"}) {
    ASSERT_TRUE(WriteDirectoryAside(Path("step-1"), [&](const std::string& aside) {
                  return FillWith(aside, content);
                }).ok());
    EXPECT_EQ(*ReadFile(Path("step-1/model")), content);
    EXPECT_THAT(Names(), ElementsAre("step-1"));
  }
}

TEST_F(CheckpointTest, KeepsTheOlderDirectoryWhereWritingFails) {
  Write("step-1/model", "old");
  const absl::Status status =
      WriteDirectoryAside(Path("step-1") + "/", [&](const std::string& aside) -> absl::Status {
        PONDER_RETURN_IF_ERROR(FillWith(aside, "half"));
        return absl::ResourceExhaustedError("no space left");
      });
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("saving"));
  EXPECT_EQ(*ReadFile(Path("step-1/model")), "old");
  EXPECT_THAT(Names(), ElementsAre("step-1"));
}

TEST_F(CheckpointTest, RemovesWhatAKilledSaveLeftButNothingElse) {
  Write("step-1.tmp-123/model", "half");
  Write("step-1.tmp-mine/model", "somebody's");
  Write("step-10.tmp-5/model", "another's");
  ASSERT_TRUE(WriteDirectoryAside(Path("step-1"), [](const std::string& aside) {
                return FillWith(aside, "new");
              }).ok());
  EXPECT_THAT(Names(), ElementsAre("step-1", "step-1.tmp-mine", "step-10.tmp-5"));
}

TEST_F(CheckpointTest, CopiesTokenizerFilesButOverwritesNone) {
  Write("from/tokenizer.json", "{}");
  Write("from/generation_config.json", "old");
  Write("from/model.safetensors", "weights");
  Write("to/generation_config.json", "new");
  ASSERT_TRUE(CopyTokenizerFiles(Path("from"), Path("to")).ok());
  EXPECT_EQ(*ReadFile(Path("to/tokenizer.json")), "{}");
  EXPECT_EQ(*ReadFile(Path("to/generation_config.json")), "new");
  EXPECT_FALSE(fs::exists(Path("to/model.safetensors")));
}

TEST_F(CheckpointTest, ReadsBackTheChunksOfAStateFile) {
  WriteThreeChunks();
  std::vector<std::pair<uint32_t, std::string>> chunks;
  ASSERT_TRUE(ReadState(Path("state.bin"), [&](uint32_t kind, std::string_view bytes) {
                chunks.emplace_back(kind, bytes);
                return absl::OkStatus();
              }).ok());
  EXPECT_THAT(chunks, ElementsAre(Pair(1, "header"), Pair(2, std::string(1000, 'a')), Pair(2, "")));
}

TEST_F(CheckpointTest, TakesNothingFromAFileWithAChangedByte) {
  const std::string whole = WriteThreeChunks();
  for (size_t at = 0; at < whole.size(); at += 7) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    Write("state.bin", damaged);
    const absl::Status status = ReadState(Path("state.bin"), [&](uint32_t, std::string_view) {
      ADD_FAILURE() << "taken, although byte " << at << " is changed";
      return absl::OkStatus();
    });
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << at;
  }
}

TEST_F(CheckpointTest, TakesNothingFromAFileCutShortOrTooLong) {
  const std::string whole = WriteThreeChunks();
  for (const size_t size :
       {size_t{0}, size_t{8}, size_t{20}, size_t{500}, whole.size() - 24, whole.size() - 1}) {
    Write("state.bin", whole.substr(0, size));
    EXPECT_EQ(ReadState(Path("state.bin"),
                        [](uint32_t, std::string_view) {
                          ADD_FAILURE();
                          return absl::OkStatus();
                        })
                  .code(),
              absl::StatusCode::kDataLoss)
        << size;
  }
  Write("state.bin", whole + "more");
  EXPECT_THAT(std::string(ReadState(Path("state.bin"),
                                    [](uint32_t, std::string_view) { return absl::OkStatus(); })
                              .message()),
              HasSubstr("4 bytes follow its end"));
}

}  // namespace
}  // namespace ponder
