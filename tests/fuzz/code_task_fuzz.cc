// Any task data and any completion: read or refused, never run here.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "tests/fuzz/fuzz_seeds.h"
#include "verifiers/code/code_task.h"
#include "verifiers/code/extract_code.h"

std::vector<std::string> FuzzSeeds() {
  using namespace std::string_literals;
  return {
      R"_({"prompt":"def f(x):\n","test":"def check(c): assert c(1)","entry_point":"f"})_"s +
          "\0"s + "<think>x</think>\n```python\nreturn 1\n```\n"s,
      R"_({"test_list":["assert f(1)"],"test_imports":["import math"],"test_setup_code":""})_"s +
          "\0"s + "~~~~ py\ndef f(x): pass\n~~~~"s,
      R"({"language":"cpp","inputs":["1"],"outputs":["2"]})"s + "\0"s +
          "```c++\nint main(){}\n```"s,
      R"({"fn_name":"f","tests":[{"args":[1],"kwargs":{"a":2},"expected":[null]}]})"s + "\0"s +
          "```\nf = abs\n```\n```json\n{}\n```"s};
}

// "data\0completion"
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ponder;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t split = std::min(input.find('\0'), input.size());
  const absl::StatusOr<CodeTask> task =
      ParseCodeTask({.data = std::string(input.substr(0, split))});
  const std::string_view completion = input.substr(std::min(split + 1, input.size()));
  for (const CodeLanguage language : {CodeLanguage::kPython, CodeLanguage::kCpp}) {
    for (const bool anywhere : {false, true}) {
      const ExtractedCode code = ExtractCode(completion, language, anywhere);
      PONDER_CHECK(code.code.empty() ||
                   (code.found && code.problem.empty() && code.code.data() >= completion.data() &&
                    code.code.data() + code.code.size() <= completion.data() + completion.size()));
      if (!task.ok()) continue;
      PONDER_CHECK(task->tests.empty() != task->runs.empty());
      AssembleSource(*task, code.code);
    }
  }
  return 0;
}
