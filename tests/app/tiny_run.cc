#include "tests/app/tiny_run.h"

#include <filesystem>

#include "tests/app/program.h"
#include "tests/app/tiny_model_directory.h"

namespace ponder {
void TinyRunTest::SetUp() {
  folder_ = TestFolder("run");
  ASSERT_TRUE(WriteTinyRun(folder_, steps_).ok());
}

void TinyRunTest::TearDown() { std::filesystem::remove_all(folder_); }

std::vector<std::string> TinyRunTest::Train(const std::string& name,
                                            const std::vector<std::string>& settings) const {
  std::vector<std::string> command = {"train", folder_ + "/run.toml", "--run", Run(name)};
  for (const std::string& setting : settings) command.insert(command.end(), {"--set", setting});
  return command;
}

std::vector<std::string> TinyRunTest::Resume(const std::string& name) const {
  return {"train", "--resume", "--run", Run(name)};
}

absl::StatusOr<TinyRunTest::Learner> TinyRunTest::StartLearner(
    const std::string& name, const std::vector<std::string>& settings) const {
  std::vector<std::string> command = Train(name, settings);
  command[0] = "learner";
  command.insert(command.end(), {"--listen", "127.0.0.1:0"});
  PONDER_ASSIGN_OR_RETURN(ChildProcess process, StartPonder(command));
  constexpr std::string_view kBefore = "--learner ";
  for (;;) {
    PONDER_ASSIGN_OR_RETURN(const std::string line, process.ReadLine(absl::Seconds(60)));
    const size_t at = line.find(kBefore);
    if (at == std::string::npos) continue;
    return Learner{std::move(process), line.substr(at + kBefore.size())};
  }
}

std::vector<std::string> TinyRunTest::Worker(const std::string& address,
                                             const std::vector<std::string>& options) const {
  std::vector<std::string> command = {"rollout",   "--model", folder_ + "/model", "--dtype", "f32",
                                      "--threads", "1",       "--learner",        address};
  command.insert(command.end(), options.begin(), options.end());
  return command;
}

}  // namespace ponder
