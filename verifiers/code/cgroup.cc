#include "verifiers/code/cgroup.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>
#include <absl/time/clock.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <vector>

#include "verifiers/code/file_descriptor.h"

namespace ponder {
namespace {

constexpr size_t kMaxFileBytes = size_t{1} << 20;

// Kernel files say their size is 0, so read until the end.
std::string ReadKernelFile(int file) {
  std::string content;
  char bytes[4096];
  ssize_t got = 0;
  while (content.size() < kMaxFileBytes &&
         (got = pread(file, bytes, sizeof(bytes), static_cast<off_t>(content.size()))) > 0) {
    content.append(bytes, static_cast<size_t>(got));
  }
  return content;
}

std::string ReadKernelFile(const std::string& path) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return ReadKernelFile(file.Get());
}

absl::Status WriteKernelFile(const std::string& path, const std::string& text) {
  const int file = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) return Unavailable("cannot open {}: {}", path, std::strerror(errno));
  const bool written = write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int error = errno;
  close(file);
  if (!written) return Unavailable("cannot write {} to {}: {}", text, path, std::strerror(error));
  return absl::OkStatus();
}

// The number behind `key ` at the start of a line, or alone where the key is empty; -1 if none.
int64_t Number(const std::string& content, std::string_view key) {
  for (const absl::string_view line : absl::StrSplit(content, '\n')) {
    if (line.substr(0, key.size()) != absl::string_view(key.data(), key.size())) continue;
    int64_t value = 0;
    if (absl::SimpleAtoi(line.substr(key.size()), &value)) return value;
  }
  return -1;
}

// A folder of a hierarchy, removed with the object.
class GroupFolder {
 public:
  static absl::StatusOr<std::unique_ptr<GroupFolder>> Make(const std::string& path) {
    if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) {
      return Unavailable("cannot make the control group {}: {}", path, std::strerror(errno));
    }
    return std::unique_ptr<GroupFolder>(new GroupFolder(path));
  }
  ~GroupFolder() {
    // What was killed a moment ago may not have left it yet.
    for (int i = 0; i < 100 && rmdir(path_.c_str()) != 0 && errno == EBUSY; ++i) {
      absl::SleepFor(absl::Milliseconds(2));
    }
  }
  std::string File(const char* name) const { return path_ + "/" + name; }
  FileDescriptor Open(const char* name) const {
    return FileDescriptor(open(File(name).c_str(), O_RDONLY | O_CLOEXEC));
  }

 private:
  explicit GroupFolder(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

// Where the hierarchies are mounted, and this process's place in them, by controller; version 2 has
// the empty name.
std::map<std::string, std::string> OwnGroups() {
  std::map<std::string, std::string> mounts, groups;
  const std::string mount_table = ReadKernelFile("/proc/self/mountinfo");
  for (const absl::string_view line : absl::StrSplit(mount_table, '\n')) {
    const std::vector<absl::string_view> halves = absl::StrSplit(line, " - ");
    if (halves.size() != 2) continue;
    const std::vector<absl::string_view> left = absl::StrSplit(halves[0], ' ');
    const std::vector<absl::string_view> right = absl::StrSplit(halves[1], ' ');
    if (left.size() < 5 || right.size() < 3) continue;
    if (right[0] == "cgroup2") mounts.emplace("", left[4]);
    if (right[0] != "cgroup") continue;
    for (const absl::string_view option : absl::StrSplit(right[2], ',')) {
      mounts.emplace(std::string(option), left[4]);
    }
  }
  const std::string membership = ReadKernelFile("/proc/self/cgroup");
  for (const absl::string_view line : absl::StrSplit(membership, '\n')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    for (const absl::string_view controller : absl::StrSplit(parts[1], ',')) {
      const auto mount = mounts.find(std::string(controller));
      if (mount == mounts.end()) continue;
      groups[mount->first] = mount->second + (parts[2] == "/" ? "" : std::string(parts[2]));
    }
  }
  return groups;
}

class CgroupV1 : public Cgroup {
 public:
  static absl::StatusOr<std::unique_ptr<Cgroup>> Create(
      const std::map<std::string, std::string>& own, const std::string& name) {
    auto group = std::make_unique<CgroupV1>();
    for (const auto& [controller, folder] :
         {std::pair("memory", &group->memory_), std::pair("pids", &group->pids_),
          std::pair("cpuacct", &group->cpuacct_)}) {
      const auto place = own.find(controller);
      if (place == own.end()) {
        return Unavailable("no control group of version 1 has the controller {}", controller);
      }
      PONDER_ASSIGN_OR_RETURN(*folder, GroupFolder::Make(place->second + "/" + name));
    }
    group->processor_time_ = group->cpuacct_->Open("cpuacct.usage");
    group->memory_events_ = group->memory_->Open("memory.oom_control");
    return group;
  }

  int Version() const override { return 1; }
  absl::Status Add(pid_t process) override {
    for (const auto& folder : {memory_.get(), pids_.get(), cpuacct_.get()}) {
      PONDER_RETURN_IF_ERROR(
          WriteKernelFile(folder->File("cgroup.procs"), std::to_string(process)));
    }
    return absl::OkStatus();
  }
  absl::Status SetMemory(int64_t bytes) override {
    return WriteKernelFile(memory_->File("memory.limit_in_bytes"), std::to_string(bytes));
  }
  absl::Status SetProcesses(int64_t count) override {
    return WriteKernelFile(pids_->File("pids.max"), std::to_string(count));
  }
  int64_t ProcessorNs() const override { return Number(ReadKernelFile(processor_time_.Get()), ""); }
  int64_t KilledForMemory() const override {
    return Number(ReadKernelFile(memory_events_.Get()), "oom_kill ");
  }

 private:
  std::unique_ptr<GroupFolder> memory_, pids_, cpuacct_;
  FileDescriptor processor_time_, memory_events_;
};

class CgroupV2 : public Cgroup {
 public:
  static absl::StatusOr<std::unique_ptr<Cgroup>> Create(const std::string& own,
                                                        const std::string& name) {
    // A group with processes in it hands its controllers to no group below, so the one above is
    // tried too, where this process is allowed to.
    absl::Status fault = absl::OkStatus();
    for (const std::string& parent : {own, own.substr(0, own.rfind('/'))}) {
      absl::StatusOr<std::unique_ptr<Cgroup>> group = CreateBelow(parent, name);
      if (group.ok()) return group;
      if (fault.ok()) fault = group.status();
    }
    return fault;
  }

  explicit CgroupV2(std::unique_ptr<GroupFolder> folder)
      : folder_(std::move(folder)),
        processor_time_(folder_->Open("cpu.stat")),
        memory_events_(folder_->Open("memory.events")) {}

  int Version() const override { return 2; }
  absl::Status Add(pid_t process) override {
    return WriteKernelFile(folder_->File("cgroup.procs"), std::to_string(process));
  }
  absl::Status SetMemory(int64_t bytes) override {
    PONDER_RETURN_IF_ERROR(WriteKernelFile(folder_->File("memory.max"), std::to_string(bytes)));
    // Without swap the limit is one of all its memory; a kernel without swap has no such file.
    if (access(folder_->File("memory.swap.max").c_str(), F_OK) != 0) return absl::OkStatus();
    return WriteKernelFile(folder_->File("memory.swap.max"), "0");
  }
  absl::Status SetProcesses(int64_t count) override {
    return WriteKernelFile(folder_->File("pids.max"), std::to_string(count));
  }
  int64_t ProcessorNs() const override {
    const int64_t us = Number(ReadKernelFile(processor_time_.Get()), "usage_usec ");
    return us < 0 ? us : us * 1000;
  }
  int64_t KilledForMemory() const override {
    return Number(ReadKernelFile(memory_events_.Get()), "oom_kill ");
  }

 private:
  static absl::StatusOr<std::unique_ptr<Cgroup>> CreateBelow(const std::string& parent,
                                                             const std::string& name) {
    const std::string control = parent + "/cgroup.subtree_control";
    const std::string controllers = ReadKernelFile(parent + "/cgroup.controllers");
    for (const char* const controller : {"memory", "pids"}) {
      if (controllers.find(controller) == std::string::npos) {
        return Unavailable("the control group {} has no controller {}", parent, controller);
      }
      if (ReadKernelFile(control).find(controller) == std::string::npos) {
        PONDER_RETURN_IF_ERROR(WriteKernelFile(control, std::string("+") + controller));
      }
    }
    PONDER_ASSIGN_OR_RETURN(std::unique_ptr<GroupFolder> folder,
                            GroupFolder::Make(parent + "/" + name));
    return std::make_unique<CgroupV2>(std::move(folder));
  }

  std::unique_ptr<GroupFolder> folder_;
  FileDescriptor processor_time_, memory_events_;
};

}  // namespace

void Cgroup::RemoveLeftovers(const std::string& prefix) {
  std::set<std::string> parents;
  for (const auto& [controller, path] : OwnGroups()) {
    parents.insert(path);
    if (controller.empty()) parents.insert(path.substr(0, path.rfind('/')));  // see CgroupV2
  }
  for (const std::string& parent : parents) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(parent, error)) {
      const std::string name = entry.path().filename();
      pid_t owner = 0;
      if (!name.starts_with(prefix) ||
          std::from_chars(name.data() + prefix.size(), name.data() + name.size(), owner).ec !=
              std::errc()) {
        continue;
      }
      // One that is in use, by a process of other process ids, is not empty and stays.
      if (kill(owner, 0) != 0 && errno == ESRCH) rmdir(entry.path().c_str());
    }
  }
}

absl::StatusOr<std::unique_ptr<Cgroup>> Cgroup::Create(const std::string& name) {
  const std::map<std::string, std::string> own = OwnGroups();
  absl::Status fault = Unavailable("no control groups are mounted");
  if (const auto second = own.find(""); second != own.end()) {
    absl::StatusOr<std::unique_ptr<Cgroup>> group = CgroupV2::Create(second->second, name);
    if (group.ok()) return group;
    fault = group.status();
  }
  if (own.contains("memory")) return CgroupV1::Create(own, name);
  return fault;
}

}  // namespace ponder
