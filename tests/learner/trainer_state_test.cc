#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "learner/create_trainer.h"
#include "tests/learner/tiny_trainer.h"
#include "tests/model/tiny_models.h"
#include "tests/reference/test_backend.h"

namespace ponder {
namespace {

namespace fs = std::filesystem;
using kernels::DType;
using ::testing::HasSubstr;

// How an optimizer keeps what it has.
struct Form {
  DType dtype = DType::kF32;
  Moments moments = Moments::kF32;
  bool offload = false;
};

std::vector<Form> Forms() {
  std::vector<Form> forms = {{DType::kF32}, {DType::kBF16}, {DType::kBF16, Moments::k8Bit}};
  if (TestBackendName() != "cpu") {
    forms.push_back({DType::kBF16, Moments::kF32, /*offload=*/true});
    forms.push_back({DType::kF32, Moments::k8Bit, /*offload=*/true});
  }
  return forms;
}

TrainerOptions Options(const Form& form) {
  return {.dtype = form.dtype,
          .loss = {.kl_weight = 0.1},
          .optimizer = {.learning_rate = 1e-3, .weight_decay = 0.1, .warmup_updates = 4},
          .moments = form.moments,
          .offload = form.offload,
          .micro_batch_tokens = 300};
}

class StateTest : public ::testing::TestWithParam<Form> {
 protected:
  StateTest() {
    WriteTinyModel("qwen3", folder_.Path("model"));
    std::ofstream(folder_.Path("model/merges.txt")) << "#version";
  }

  TestFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Forms, StateTest, ::testing::ValuesIn(Forms()), [](const auto& info) {
  return fmt::format("{}{}{}", kernels::ToString(info.param.dtype),
                     info.param.moments == Moments::k8Bit ? "_8bit" : "",
                     info.param.offload ? "_offloaded" : "");
});

TEST_P(StateTest, GoesOnBitForBitAfterSaveAndLoad) {
  TinyTrainer one(folder_.Path("model"), Options(GetParam()));
  ASSERT_TRUE(one.trainer->SetReferenceFromCurrent().ok());
  const std::vector<ScoredGroup> groups = SampleGroups(*one.backend, one.trainer->GetWeights());
  ASSERT_TRUE(one.trainer->Update(groups, SamplerNumerics::kSame).ok());
  ASSERT_TRUE(one.trainer->Supervise(RandomExamples(4)).ok());
  ASSERT_TRUE(one.trainer->SaveCheckpoint(folder_.Path("step-2")).ok());

  TinyTrainer two(folder_.Path("model"), Options(GetParam()));
  ASSERT_TRUE(two.trainer->LoadCheckpoint(folder_.Path("step-2")).ok());
  EXPECT_EQ(two.trainer->PolicyVersion(), 2);
  EXPECT_EQ(WorkingHash(two.trainer->GetWeights()), WorkingHash(one.trainer->GetWeights()));
  for (int step = 0; step < 2; ++step) {
    auto first = one.trainer->Update(groups, SamplerNumerics::kSame);
    auto second = two.trainer->Update(groups, SamplerNumerics::kSame);
    ASSERT_TRUE(first.ok() && second.ok()) << first.status() << second.status();
    EXPECT_EQ(first->metrics, second->metrics);
    EXPECT_EQ(WorkingHash(two.trainer->GetWeights()), WorkingHash(one.trainer->GetWeights()));
  }
  // Moments and master weights too: the next checkpoints are the same bytes.
  ASSERT_TRUE(one.trainer->SaveCheckpoint(folder_.Path("a")).ok());
  ASSERT_TRUE(two.trainer->SaveCheckpoint(folder_.Path("b")).ok());
  for (const char* name : {"trainer_state.bin", "model.safetensors", "config.json"}) {
    EXPECT_TRUE(*ReadFile(folder_.Path(std::string("a/") + name)) ==
                *ReadFile(folder_.Path(std::string("b/") + name)))
        << name;
  }
}

TEST_P(StateTest, SavesAHuggingFaceDirectoryThatAFreshTrainerStartsFrom) {
  TinyTrainer one(folder_.Path("model"), Options(GetParam()));
  ASSERT_TRUE(one.trainer->Supervise(RandomExamples(4)).ok());
  ASSERT_TRUE(one.trainer->SaveCheckpoint(folder_.Path("saved")).ok());
  EXPECT_TRUE(fs::exists(folder_.Path("saved/merges.txt")));
  TinyTrainer two(folder_.Path("saved"), Options(GetParam()));
  EXPECT_EQ(WorkingHash(two.trainer->GetWeights()), WorkingHash(one.trainer->GetWeights()));
  EXPECT_EQ(two.trainer->PolicyVersion(), 0);
}

TEST_P(StateTest, BeginsAPhaseWithFreshMomentsAndSchedule) {
  Form form = GetParam();
  form.dtype = DType::kF32;  // so that a fresh trainer begins with all of the master weights
  const TrainerOptions options = Options(form);
  TinyTrainer one(folder_.Path("model"), options);
  ASSERT_TRUE(one.trainer->Supervise(RandomExamples(4)).ok());
  ASSERT_TRUE(one.trainer->SaveCheckpoint(folder_.Path("saved")).ok());
  TinyTrainer fresh(folder_.Path("saved"), options);
  ASSERT_TRUE(one.trainer->BeginPhase(options.optimizer, options.loss).ok());
  EXPECT_EQ(one.trainer->PolicyVersion(), 1) << "versions go on";
  ASSERT_TRUE(one.trainer->Supervise(RandomExamples(3)).ok());
  ASSERT_TRUE(fresh.trainer->Supervise(RandomExamples(3)).ok());
  EXPECT_EQ(WorkingHash(one.trainer->GetWeights()), WorkingHash(fresh.trainer->GetWeights()));
}

TEST_P(StateTest, RefusesMomentsOfTheOtherForm) {
  Form form = GetParam();
  TinyTrainer tiny(folder_.Path("model"), Options(form));
  ASSERT_TRUE(tiny.trainer->SaveCheckpoint(folder_.Path("saved")).ok());
  form.moments = form.moments == Moments::kF32 ? Moments::k8Bit : Moments::kF32;
  TinyTrainer other(folder_.Path("model"), Options(form));
  const absl::Status status = other.trainer->LoadCheckpoint(folder_.Path("saved"));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(form.moments == Moments::kF32 ? "set optimizer.moments = \"8bit\""
                                                      : "set optimizer.moments = \"f32\""));
}

TEST_P(StateTest, RefusesADamagedStateAndStaysAsItWas) {
  TinyTrainer tiny(folder_.Path("model"), Options(GetParam()));
  ASSERT_TRUE(tiny.trainer->SaveCheckpoint(folder_.Path("saved")).ok());
  ASSERT_TRUE(tiny.trainer->Supervise(RandomExamples(4)).ok());
  const uint64_t before = WorkingHash(tiny.trainer->GetWeights());
  const std::string path = folder_.Path("saved/trainer_state.bin");
  std::string state = *ReadFile(path);
  state[state.size() / 2] = static_cast<char>(state[state.size() / 2] ^ 4);
  ASSERT_TRUE(WriteFileAtomically(path, state).ok());
  const absl::Status status = tiny.trainer->LoadCheckpoint(folder_.Path("saved"));
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("the checksum of chunk"));
  EXPECT_EQ(WorkingHash(tiny.trainer->GetWeights()), before);
  EXPECT_EQ(tiny.trainer->PolicyVersion(), 1);
}

TEST_P(StateTest, RefusesTheStateOfAnotherModel) {
  WriteTinyModel("llama", folder_.Path("other"));
  TinyTrainer other(folder_.Path("other"), Options(GetParam()));
  ASSERT_TRUE(other.trainer->SaveCheckpoint(folder_.Path("saved")).ok());
  TinyTrainer tiny(folder_.Path("model"), Options(GetParam()));
  const absl::Status status = tiny.trainer->LoadCheckpoint(folder_.Path("saved"));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("is the state of another model"));
  EXPECT_EQ(tiny.trainer->LoadCheckpoint(folder_.Path("nowhere")).code(),
            absl::StatusCode::kNotFound);
}

// In a process of its own: a file system of 64 KiB, a checkpoint that is older, a save that does
// not fit. Says what happened by its exit status; kNoMount where the machine lets nobody mount.
constexpr int kAsExpected = 0, kNoMount = 77;

int SaveOntoAFullDisk(const std::string& model, const std::string& mount_point) {
  const bool mounted = (unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
                       mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                       mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "size=64k") == 0;
  if (!mounted) return kNoMount;
  const std::string directory = mount_point + "/step-1";
  if (!MakeDirectories(directory).ok() || !WriteFileAtomically(directory + "/old", "intact").ok())
    return 1;
  TinyTrainer tiny(model, {.dtype = DType::kF32, .micro_batch_tokens = 64}, /*threads=*/1);
  const absl::Status status = tiny.trainer->SaveCheckpoint(directory);
  if (status.code() != absl::StatusCode::kResourceExhausted) return 2;
  const auto old = ReadFile(directory + "/old");
  if (!old.ok() || *old != "intact") return 3;
  const auto entries = std::distance(fs::directory_iterator(mount_point), fs::directory_iterator());
  return entries == 1 ? kAsExpected : 4;
}

TEST(DiskFull, IsSaidAndLeavesTheOlderCheckpointIntact) {
  const TestFolder folder;
  WriteTinyModel("llama", folder.Path("model"));
  fs::create_directories(folder.Path("mount"));
  const pid_t child = fork();
  if (child == 0) _exit(SaveOntoAFullDisk(folder.Path("model"), folder.Path("mount")));
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kNoMount)
    GTEST_SKIP() << "mounting a small file system is not allowed here";
  EXPECT_EQ(WEXITSTATUS(status), kAsExpected);
}

}  // namespace
}  // namespace ponder
