#pragma once

#include <string>
#include <string_view>

#include "verifiers/code/code_task.h"

namespace ponder {

// The code that a completion gives.
struct ExtractedCode {
  bool found = false;
  std::string_view code;  // a view into the completion
  size_t indent = 0;      // of the block, as in a list
  std::string problem;    // why what was found cannot be used: the block was never closed
};

// The last fenced block that is labelled with the language, or, where none is, the last unlabelled
// one. Thoughts do not count: only what follows the last </think>, or what precedes an unfinished
// <think>. A block that is never closed is a problem, nothing else is tried. With `anywhere` a text
// without any block is code as a whole. Linear in the text.
ExtractedCode ExtractCode(std::string_view completion, CodeLanguage language, bool anywhere);

// The code moved out by as much as all its lines allow, up to the block's own indentation.
std::string WithoutIndent(std::string_view code, size_t indent);

// The source to run: the code alone, or behind the task's prompt, so that the prompt's imports and
// helpers are there. A code that does not define the function asked for is its body.
std::string AssembleSource(const CodeTask& task, std::string_view code);

}  // namespace ponder
