#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/child_process.h"
#include "base/status.h"

namespace ponder {

// Leaves in `folder` a tiny model (model/), tasks, examples of a cold start and run.toml: a run of
// so many steps, 48 completions each, that takes a second or two.
absl::Status WriteTinyRun(const std::string& folder, int64_t steps);

// Tests of the program on a tiny run in a folder of their own.
class TinyRunTest : public testing::Test {
 protected:
  explicit TinyRunTest(int64_t steps) : steps_(steps) {}
  void SetUp() override;
  void TearDown() override;

  std::string Run(const std::string& name) const { return folder_ + "/" + name; }
  // Arguments of the program; `settings` are "section.key=value".
  std::vector<std::string> Train(const std::string& name,
                                 const std::vector<std::string>& settings = {}) const;
  std::vector<std::string> Resume(const std::string& name) const;

  // `ponder learner` once it listens, and the `ponder rollout` that joins it.
  struct Learner {
    ChildProcess process;
    std::string address;
  };
  absl::StatusOr<Learner> StartLearner(const std::string& name,
                                       const std::vector<std::string>& settings = {}) const;
  std::vector<std::string> Worker(const std::string& address,
                                  const std::vector<std::string>& options = {}) const;

  const int64_t steps_;
  std::string folder_;
};

}  // namespace ponder
