#include "verifiers/code/code_task.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "verifiers/code/extract_code.h"

namespace ponder {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

absl::StatusOr<CodeTask> Parse(const std::string& data) {
  return ParseCodeTask({.kind = "code", .data = data});
}

TEST(CodeTask, ReadsHumanEval) {
  const CodeTask task =
      Parse(R"({"prompt":"def f(x):\n","test":"def check(c): pass","entry_point":"f"})").value();
  EXPECT_EQ(task.entry_point, "f");
  EXPECT_EQ(task.prompt, "def f(x):\n");
  EXPECT_EQ(json::parse(task.tests)["tests"], json({"def check(c): pass"}));
}

TEST(CodeTask, ReadsMbpp) {
  const CodeTask task = Parse(R"({"text":"...","prompt":"Write f.","test_list":["assert f(1)==2"],
                "test_imports":["import math"],"test_setup_code":"a = 1"})")
                            .value();
  EXPECT_EQ(task.prompt, "");
  EXPECT_EQ(json::parse(task.tests)["setup"], "import math\na = 1");
}

TEST(CodeTask, ReadsRunsOfPrograms) {
  for (const std::string data :
       {R"({"tests":[{"input":"1","output":"2"},{"output":"3"}]})",
        R"({"inputs":["1",""],"outputs":["2","3"]})",
        R"({"input_output":"{\"inputs\":[\"1\",\"\"],\"outputs\":[\"2\",\"3\"]}"})"}) {
    const CodeTask task = Parse(data).value();
    ASSERT_EQ(task.runs.size(), 2u) << data;
    EXPECT_EQ(task.runs[0].input, "1");
    EXPECT_EQ(task.runs[1].output, "3");
  }
  EXPECT_EQ(Parse(R"({"language":"cpp","tests":[{"output":"3"}]})")->language, CodeLanguage::kCpp);
}

TEST(CodeTask, ReadsCallsWithJson) {
  for (const std::string data :
       {R"({"entry_point":"f","tests":[{"args":[1,[2]],"expected":{"a":null}}]})",
        R"({"fn_name":"f","inputs":[[1,[2]]],"outputs":[{"a":null}]})"}) {
    const CodeTask task = Parse(data).value();
    EXPECT_EQ(json::parse(task.tests),
              json::parse(R"({"entry_point":"f","calls":[{"args":[1,[2]],"kwargs":{},
                              "expected":{"a":null}}]})"))
        << data;
  }
}

TEST(CodeTask, NamesWhatIsMissing) {
  const auto fault = [](const std::string& data) {
    return std::string(Parse(data).status().message());
  };
  EXPECT_THAT(fault(""), HasSubstr("no JSON object"));
  EXPECT_THAT(fault("[]"), HasSubstr("no JSON object"));
  EXPECT_THAT(fault("{}"), HasSubstr("holds no tests"));
  EXPECT_THAT(fault(R"({"test":"x"})"), HasSubstr("no \"entry_point\""));
  EXPECT_THAT(fault(R"({"test_list":[]})"), HasSubstr("empty"));
  EXPECT_THAT(fault(R"({"test_list":[1]})"), HasSubstr("something else than texts"));
  EXPECT_THAT(fault(R"({"language":"rust","test_list":["a"]})"), HasSubstr("rust"));
  EXPECT_THAT(fault(R"({"language":"cpp","test_list":["a"]})"), HasSubstr("C++"));
  EXPECT_THAT(fault(R"({"inputs":["1"],"outputs":[]})"), HasSubstr("same length"));
  EXPECT_THAT(fault(R"({"tests":[{"args":[1],"expected":2}]})"), HasSubstr("no \"entry_point\""));
  EXPECT_THAT(fault(R"({"entry_point":"f","tests":[{"output":""},{"expected":1}]})"),
              HasSubstr("either all"));
  EXPECT_THAT(fault(R"({"entry_point":"f","tests":[]})"), HasSubstr("either all"));
}

std::string Extract(const std::string& text, CodeLanguage language = CodeLanguage::kPython,
                    bool anywhere = false) {
  const ExtractedCode code = ExtractCode(text, language, anywhere);
  return code.found ? code.problem + std::string(code.code) : "none";
}

TEST(ExtractCode, TakesTheLastBlockOfTheLanguage) {
  EXPECT_EQ(Extract("```python\na\n```\nthen\n```py\nb\n```\n"), "b\n");
  EXPECT_EQ(Extract("```python\na\n```\nprints\n```\n7\n```\n"), "a\n");
  EXPECT_EQ(Extract("```\na\n```\n```\nb\n```\n"), "b\n");
  EXPECT_EQ(Extract("```python\na\n```\n```cpp\nb\n```\n", CodeLanguage::kCpp), "b\n");
  EXPECT_EQ(Extract("  ~~~ Python3 title\r\na\r\n  ~~~\r\n"), "a\r\n");
  EXPECT_EQ(Extract("````python\n```\na\n````\n"), "```\na\n");
  EXPECT_EQ(Extract("```python\n```"), "");
  EXPECT_EQ(Extract("```json\n{}\n```"), "none");
  EXPECT_EQ(Extract("call ```f()``` and\n```f()```\n"), "none");
}

TEST(ExtractCode, ThoughtsDoNotCount) {
  EXPECT_EQ(Extract("<think>\n```python\na\n```\n</think>\n"), "none");
  EXPECT_EQ(Extract("```python\na\n```\n</think>\n```python\nb\n```"), "b\n");
  EXPECT_EQ(Extract("```python\na\n```\n<think>\n```python\nb\n```"), "a\n");
}

TEST(ExtractCode, AnOpenBlockIsAProblem) {
  EXPECT_THAT(Extract("```python\na\n"), HasSubstr("never closed"));
  EXPECT_THAT(Extract("```python\na\n```\n```python"), HasSubstr("never closed"));
}

TEST(ExtractCode, AnywhereTakesTextWithoutBlocks) {
  EXPECT_EQ(Extract("def f(): pass"), "none");
  EXPECT_EQ(Extract("<think>x</think>def f(): pass", CodeLanguage::kPython, true), "def f(): pass");
  EXPECT_EQ(Extract("```json\n{}\n```", CodeLanguage::kPython, true), "none");
  EXPECT_EQ(Extract(" \n", CodeLanguage::kPython, true), "none");
}

TEST(AssembleSource, PutsThePromptBeforeTheCode) {
  const CodeTask task{.prompt = "import math\ndef f(x):\n    \"\"\"Doc.\"\"\"\n",
                      .entry_point = "f"};
  // The docstring is a body; a head alone is given one.
  EXPECT_EQ(AssembleSource(task, "def f(x):\n    return 1\n"),
            task.prompt + "\n\ndef f(x):\n    return 1\n");
  EXPECT_EQ(AssembleSource({.prompt = "def f(x):\n", .entry_point = "f"}, "def f(x): pass\n"),
            "def f(x):\n\n    pass\n\ndef f(x): pass\n");
  EXPECT_EQ(AssembleSource({.prompt = "def f(x):  \n  # Doc.\n", .entry_point = "f"}, "f = abs\n"),
            "def f(x):  \n  # Doc.\n\n    pass\n\nf = abs\n");
  EXPECT_EQ(AssembleSource(task, "    return 1\n"), task.prompt + "\n    return 1\n");
  EXPECT_EQ(AssembleSource(task, "y = 1\nreturn y\n"), task.prompt + "\n    y = 1\n    return y\n");
  EXPECT_EQ(AssembleSource(task, "def ff(x): pass\n    def f(x): pass\n"),
            task.prompt + "\n    def ff(x): pass\n        def f(x): pass\n");
  const std::string future = "from __future__ import annotations\ndef f(x): pass\n";
  EXPECT_EQ(AssembleSource(task, future), future);
  EXPECT_EQ(AssembleSource({.prompt = "Write a function.", .entry_point = "f"}, "def f(x): pass"),
            "def f(x): pass");
}

// Linear: anything quadratic would take minutes.
TEST(ExtractCode, TakesHostileTextsAtOnce) {
  for (const std::string line :
       {"```\n", "```python\n", "~~~~\n", "<think>", "</think>", "`", "\n"}) {
    std::string text;
    while (text.size() < (8u << 20)) text += line;
    Extract(text);
    Extract(text + "```python\na\n```");
  }
}

}  // namespace
}  // namespace ponder
