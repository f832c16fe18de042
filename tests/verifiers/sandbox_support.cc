#include "tests/verifiers/sandbox_support.h"

#include <absl/strings/str_split.h>
#include <absl/time/clock.h>
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <exception>
#include <filesystem>
#include <fstream>
#include <set>

namespace ponder {
namespace {

constexpr int kOrdinaryUser = 54321;

std::map<pid_t, pid_t> Parents() {
  std::map<pid_t, pid_t> parents;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    pid_t pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc()) continue;
    std::ifstream status(entry.path() / "status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("PPid:")) parents[pid] = std::stoi(line.substr(5));
    }
  }
  return parents;
}

}  // namespace

CodeVerifierOptions SmallLimits() {
  return {.limits = {.cpu_s = 0.4,
                     .wall_s = 2,
                     .memory_mib = 128,
                     .disk_mib = 8,
                     .files = 64,
                     .processes = 16,
                     .open_files = 32,
                     .output_kib = 256,
                     .compile_cpu_s = 4,
                     .compile_wall_s = 8,
                     .compile_memory_mib = 512},
          .slots = 1};
}

std::string SandboxFault() {
  const auto verifier = CreateCodeVerifier(SmallLimits());
  return verifier.ok() ? "" : std::string(verifier.status().message());
}

VerifyItem CodeItem(const std::string& data, const std::string& code, const std::string& label) {
  return {{.kind = "code", .data = data}, "```" + label + "\n" + code + "\n```\n"};
}

VerifyItem HonestItem() {
  return CodeItem(R"({"test_list":["assert f(1) == 2", "assert f(5) == 6"]})",
                  "def f(x):\n    return x + 1");
}

Verdict JudgeCode(Verifier& verifier, const VerifyItem& item) {
  return verifier.Verify({&item, 1}, absl::InfiniteFuture()).value()[0];
}

std::vector<std::string> RunInProcess(bool ordinary_user,
                                      const std::function<std::vector<std::string>()>& body) {
  int ends[2];
  if (pipe(ends) != 0) return {"no pipe"};
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    std::string text;
    try {
      const bool changed =
          !ordinary_user ||
          (setgroups(0, nullptr) == 0 && setgid(kOrdinaryUser) == 0 && setuid(kOrdinaryUser) == 0 &&
           prctl(PR_SET_DUMPABLE, 1) == 0);  // as after exec
      if (!changed) text = "cannot become an ordinary user\n";
      if (changed) {
        for (const std::string& failure : body()) text += failure + "\n";
      }
    } catch (const std::exception& error) {
      text += std::string("threw ") + error.what() + "\n";
    }
    text += "done";
    for (size_t at = 0; at < text.size();) {
      const ssize_t written = write(ends[1], text.data() + at, text.size() - at);
      if (written <= 0) break;
      at += static_cast<size_t>(written);
    }
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char bytes[4096];
  for (ssize_t got = 0; (got = read(ends[0], bytes, sizeof(bytes))) > 0;) {
    text.append(bytes, static_cast<size_t>(got));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  std::vector<std::string> failures = absl::StrSplit(text, '\n');
  if (failures.back() != "done") {
    failures.push_back("the process ended with status " + std::to_string(status));
  } else {
    failures.pop_back();
  }
  return failures;
}

std::map<pid_t, pid_t> Descendants(pid_t root) {
  const std::map<pid_t, pid_t> parents = Parents();
  std::set<pid_t> ours = {root == 0 ? getpid() : root};
  std::map<pid_t, pid_t> found;
  for (bool grown = true; grown;) {
    grown = false;
    for (const auto& [pid, parent] : parents) {
      if (ours.contains(parent) && ours.insert(pid).second) {
        found[pid] = parent;
        grown = true;
      }
    }
  }
  return found;
}

FileDescriptor OpenProcess(pid_t process) {
  return FileDescriptor(static_cast<int>(syscall(SYS_pidfd_open, process, 0)));
}

size_t AwaitEnds(const std::vector<FileDescriptor>& processes, absl::Duration limit) {
  const absl::Time until = absl::Now() + limit;
  size_t left = 0;
  for (const FileDescriptor& process : processes) {
    struct pollfd event = {.fd = process.Get(), .events = POLLIN, .revents = 0};
    const int64_t ms = std::max<int64_t>(0, absl::ToInt64Milliseconds(until - absl::Now()));
    left += process.Get() >= 0 && poll(&event, 1, static_cast<int>(ms)) != 1;
  }
  return left;
}

int64_t ResidentBytes(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/statm");
  int64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace ponder
