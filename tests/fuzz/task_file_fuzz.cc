// Any bytes are tasks or an error that names a line.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "tasks/task_file.h"
#include "tests/fuzz/fuzz_seeds.h"

std::vector<std::string> FuzzSeeds() {
  return {"{\"question\": \"Q\", \"answer\": \"48/2 = <<48/2=24>>24\\n#### 24\", \"id\": \"a\"}\n",
          "{\"question\": \"Q\", \"answer\": 7.5, \"id\": 3, \"data\": {\"target\": 3}}\r\n\n{}"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ponder;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const TaskSourceOptions plain{.kind = "file", .id_field = "id"},
      gsm8k{.kind = "file", .gold_after = "####"};
  for (const TaskSourceOptions& options : {plain, gsm8k}) {
    const absl::StatusOr<std::vector<Task>> tasks = ParseTaskLines(input, "fuzz.jsonl", options);
    if (tasks.ok()) {
      for (const Task& task : *tasks)
        PONDER_CHECK(!task.question.empty() && !task.gold.empty() && !task.id.empty());
    } else {
      PONDER_CHECK(std::string(tasks.status().message()).starts_with("fuzz.jsonl:"));
    }
  }
  return 0;
}
