#include "app/run_settings.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"

namespace ponder {
namespace {

class RunSettingsTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/run_settings_" + std::to_string(getpid()) +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    ASSERT_TRUE(MakeDirectories(folder_).ok());
    config_.model.directory = "m";
    ASSERT_TRUE(WriteFileAtomically(ConfigPath(), DumpConfig(config_)).ok());
    store_ = *RunStore::Open(folder_ + "/run.db", RunStore::Mode::kCreate);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string ConfigPath() const { return folder_ + "/config.toml"; }
  void Note(const CheckpointName& behind, double learning_rate) {
    config_.optimizer.learning_rate = learning_rate;
    ASSERT_TRUE(NoteSettings(*store_, ConfigPath(), behind, config_).ok());
  }
  // "sft-000002 0.5, ..."
  std::string Settings() {
    std::string text;
    const auto settings = ReadSettings(*store_, ConfigPath());
    EXPECT_TRUE(settings.ok()) << settings.status();
    for (const RunSettings& one : *settings) {
      text += fmt::format("{}{} {:g}", text.empty() ? "" : ", ",
                          one.behind.phase.empty() ? "start" : one.behind.ToString(),
                          one.config.optimizer.learning_rate);
    }
    return text;
  }

  std::string folder_;
  RunConfig config_;
  std::unique_ptr<RunStore> store_;
};

const CheckpointName kSft{.phase = "sft", .step = 8};
const CheckpointName kStep2{.phase = "step", .step = 2};
const CheckpointName kStep10{.phase = "step", .step = 10};

TEST_F(RunSettingsTest, WithoutResumingTheyAreThoseOfTheStart) {
  EXPECT_EQ(Settings(), "start 1e-05");
}

TEST_F(RunSettingsTest, OnlyNewsIsKept) {
  Note(kSft, 1e-5);
  EXPECT_EQ(Settings(), "start 1e-05");
  EXPECT_EQ(*store_->GetInfo("settings"), std::nullopt);
  Note(kStep2, 0.25);
  Note(kStep10, 0.25);
  EXPECT_EQ(Settings(), "start 1e-05, step-000002 0.25");
}

TEST_F(RunSettingsTest, WhatIsDoneAgainTakesItsSettingsAlong) {
  Note(kSft, 0.5);
  Note(kStep2, 0.25);
  Note(kStep10, 0.125);
  EXPECT_EQ(Settings(), "start 1e-05, sft-000008 0.5, step-000002 0.25, step-000010 0.125");
  Note(kStep2, 0.75);
  EXPECT_EQ(Settings(), "start 1e-05, sft-000008 0.5, step-000002 0.75");
  Note(kStep2, 0.5);
  EXPECT_EQ(Settings(), "start 1e-05, sft-000008 0.5");
  Note({}, 0.0625);  // begun anew
  EXPECT_EQ(Settings(), "start 1e-05, start 0.0625");
  Note({}, 1e-5);
  EXPECT_EQ(Settings(), "start 1e-05");
}

TEST_F(RunSettingsTest, WhatIsNoListIsRefused) {
  for (const char* bad : {"x", "{}", "[1]", R"([{"behind":"nowhere","config":""}])"}) {
    ASSERT_TRUE(store_->SetInfo("settings", bad).ok());
    EXPECT_TRUE(absl::IsDataLoss(ReadSettings(*store_, ConfigPath()).status())) << bad;
  }
}

}  // namespace
}  // namespace ponder
