#include "tests/app/program.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "base/file.h"

namespace ponder {
namespace {

std::string Quote(const std::string& word) {
  std::string quoted = "'";
  for (char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

std::string ShellLine(const std::vector<std::string>& arguments) {
  std::string line = Quote(PONDER_PROGRAM);
  for (const std::string& argument : arguments) line += " " + Quote(argument);
  return line + " 2>&1";
}

}  // namespace

ProgramResult RunPonder(const std::vector<std::string>& arguments, const std::string& input) {
  const std::string input_path = TestFolder("input") + "/stdin";
  EXPECT_TRUE(WriteFileAtomically(input_path, input).ok());
  std::FILE* pipe = popen((ShellLine(arguments) + " < " + Quote(input_path)).c_str(), "r");
  ProgramResult result;
  char buffer[4096];
  for (size_t got; (got = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0;)
    result.output.append(buffer, got);
  const int status = pclose(pipe);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

absl::StatusOr<ChildProcess> StartPonder(const std::vector<std::string>& arguments) {
  return ChildProcess::Start({"sh", "-c", "exec " + ShellLine(arguments)});
}

std::string TestFolder(const std::string& name) {
  const auto* info = testing::UnitTest::GetInstance()->current_test_info();
  const std::string folder = testing::TempDir() + "/ponder_" + std::to_string(getpid()) + "_" +
                             info->test_suite_name() + "_" + info->name() + "_" + name;
  std::filesystem::remove_all(folder);
  EXPECT_TRUE(MakeDirectories(folder).ok());
  return folder;
}

}  // namespace ponder
