#include "app/machine_memory.h"

#include <algorithm>
#include <charconv>

#include "base/file.h"

namespace ponder {
namespace {

// The number behind a line's first word: "MemTotal:  2000 kB", "inactive_file 4096".
std::optional<int64_t> Field(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (!line.starts_with(name)) continue;
    line.remove_prefix(name.size());
    const size_t digits = line.find_first_not_of(' ');
    if (digits == 0 || digits == std::string_view::npos) continue;
    return KernelNumber(line.substr(digits));
  }
  return std::nullopt;
}

// The files of a control group that say what it may take and takes; version 1 has other names.
struct GroupFiles {
  std::string folder;
  const char* limit;
  const char* usage;
  const char* inactive;  // of memory.stat, with all groups below
};

}  // namespace

std::string KernelText(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(path, 1 << 16);
  if (!text.ok()) return "";
  while (text->ends_with('\n')) text->pop_back();
  return *std::move(text);
}

std::optional<int64_t> KernelNumber(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

std::vector<std::string> ControlGroups(const std::string& root) {
  std::string group;
  const std::string mine = KernelText(root + "/proc/self/cgroup");
  if (const size_t at = mine.find("0::"); at != std::string::npos) {
    group = mine.substr(at + 3, mine.find('\n', at) - at - 3);
  }
  std::vector<std::string> folders;
  for (;;) {
    folders.push_back(root + "/sys/fs/cgroup" + group);
    if (group.empty()) return folders;
    group.resize(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
  }
}

absl::StatusOr<MachineMemory> ReadMachineMemory(const std::string& root) {
  const std::string meminfo = KernelText(root + "/proc/meminfo");
  const auto total = Field(meminfo, "MemTotal:"), available = Field(meminfo, "MemAvailable:");
  if (!total || !available) {
    return NotFound("expected MemTotal and MemAvailable in {}/proc/meminfo, found {} bytes without",
                    root, meminfo.size());
  }
  MachineMemory memory{.total = *total * 1024, .available = *available * 1024};
  std::vector<GroupFiles> groups;
  for (const std::string& folder : ControlGroups(root)) {
    groups.push_back({folder, "/memory.max", "/memory.current", "inactive_file"});
  }
  groups.push_back({root + "/sys/fs/cgroup/memory", "/memory.limit_in_bytes",
                    "/memory.usage_in_bytes", "total_inactive_file"});
  for (const GroupFiles& group : groups) {
    const std::optional<int64_t> limit = KernelNumber(KernelText(group.folder + group.limit));
    // Version 1 writes a very large number for none.
    if (!limit || *limit <= 0 || *limit >= memory.total) continue;
    memory.limit = std::min(memory.limit.value_or(*limit), *limit);
    const int64_t usage = KernelNumber(KernelText(group.folder + group.usage)).value_or(0);
    // What was read from files and is not in use goes first, as it does where MemAvailable counts.
    const int64_t inactive =
        Field(KernelText(group.folder + "/memory.stat"), group.inactive).value_or(0);
    const int64_t left = *limit - std::max<int64_t>(usage - inactive, 0);
    memory.available = std::clamp<int64_t>(left, 0, memory.available);
  }
  return memory;
}

}  // namespace ponder
