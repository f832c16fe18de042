#include "verifiers/code/extract_code.h"

#include <absl/strings/ascii.h>

#include <algorithm>
#include <cctype>
#include <optional>

namespace ponder {
namespace {

std::string_view WithoutThoughts(std::string_view text) {
  constexpr std::string_view kOpen = "<think>", kClose = "</think>";
  if (const size_t close = text.rfind(kClose); close != std::string_view::npos) {
    text.remove_prefix(close + kClose.size());
  }
  return text.substr(0, text.find(kOpen));
}

// Takes a line off the front, without its end.
std::string_view TakeLine(std::string_view& text) {
  const size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

constexpr size_t kCloseIndent = 3;  // more white space before marks makes them a line of the code

struct Fence {
  size_t indent = 0;
  char mark = '`';
  size_t length = 0;
  std::string_view info;  // what follows the marks
};

std::optional<Fence> ReadFence(std::string_view line) {
  const size_t indent = std::min(line.find_first_not_of(" \t"), line.size());
  line.remove_prefix(indent);
  if (line.empty() || (line[0] != '`' && line[0] != '~')) return std::nullopt;
  const size_t length = std::min(line.find_first_not_of(line[0]), line.size());
  if (length < 3) return std::nullopt;
  Fence fence{indent, line[0], length, line.substr(length)};
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!fence.info.empty() && blank(fence.info.front())) fence.info.remove_prefix(1);
  while (!fence.info.empty() && blank(fence.info.back())) fence.info.remove_suffix(1);
  // Backticks behind the marks: code within a line.
  if (fence.info.find(fence.mark) != std::string_view::npos) return std::nullopt;
  return fence;
}

bool IsLabelOf(std::string_view info, CodeLanguage language) {
  const std::string label = absl::AsciiStrToLower(
      absl::string_view(info.data(), std::min(info.find_first_of(" \t{,:"), info.size())));
  if (language == CodeLanguage::kPython) {
    return label == "python" || label == "py" || label == "python3";
  }
  return label == "cpp" || label == "c++" || label == "cc" || label == "cxx";
}

bool IsNameByte(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Whether a line at the margin defines or assigns the name.
bool Defines(std::string_view code, std::string_view name) {
  while (!code.empty()) {
    std::string_view line = TakeLine(code);
    for (const std::string_view keyword : {"async ", "def ", "class "}) {
      if (line.starts_with(keyword)) line.remove_prefix(keyword.size());
    }
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    if (!line.starts_with(name)) continue;
    line.remove_prefix(name.size());
    if (!line.empty() && IsNameByte(line[0])) continue;
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    if (!line.empty() && (line[0] == '(' || line[0] == ':' || line[0] == '=')) return true;
  }
  return false;
}

// Whether the code ends where a block is still to come, so that something must stand there.
bool LacksBody(std::string_view code) {
  std::string_view last;
  while (!code.empty()) {
    std::string_view line = TakeLine(code);
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    if (!line.empty() && line[0] != '#') last = line;
  }
  return last.substr(0, last.find_last_not_of(" \t") + 1).ends_with(':');
}

// The code moved in by four columns where its first line stands at the margin.
std::string AsBody(std::string_view code) {
  std::string_view rest = code;
  std::string_view first;
  while (!rest.empty() && first.find_first_not_of(" \t") == std::string_view::npos) {
    first = TakeLine(rest);
  }
  if (first.empty() || first[0] == ' ' || first[0] == '\t') return std::string(code);
  std::string body;
  while (!code.empty()) body += fmt::format("    {}\n", TakeLine(code));
  return body;
}

}  // namespace

ExtractedCode ExtractCode(std::string_view completion, CodeLanguage language, bool anywhere) {
  const std::string_view text = WithoutThoughts(completion);
  ExtractedCode labelled, unlabelled;
  bool any_block = false;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::optional<Fence> open = ReadFence(TakeLine(rest));
    if (!open) continue;
    any_block = true;
    const char* const begin = rest.data();
    const char* end = nullptr;
    while (!rest.empty() && end == nullptr) {
      const char* const line_begin = rest.data();
      const std::optional<Fence> close = ReadFence(TakeLine(rest));
      if (close && close->mark == open->mark && close->length >= open->length &&
          close->info.empty() && close->indent <= open->indent + kCloseIndent) {
        end = line_begin;
      }
    }
    const bool label_fits = IsLabelOf(open->info, language);
    if (!label_fits && !open->info.empty()) continue;
    ExtractedCode& found = label_fits ? labelled : unlabelled;
    found = {.found = true, .indent = open->indent};
    if (end == nullptr) {
      found.problem = "the code block is never closed";
    } else {
      found.code = std::string_view(begin, static_cast<size_t>(end - begin));
    }
  }
  if (labelled.found) return labelled;
  if (unlabelled.found) return unlabelled;
  if (anywhere && !any_block && text.find_first_not_of(" \t\r\n") != std::string_view::npos) {
    return {.found = true, .code = text};
  }
  return {};
}

std::string WithoutIndent(std::string_view code, size_t indent) {
  std::string_view rest = code;
  while (!rest.empty()) {
    const std::string_view line = TakeLine(rest);
    const size_t begin = line.find_first_not_of(" \t");
    if (begin != std::string_view::npos) indent = std::min(indent, begin);
  }
  if (indent == 0) return std::string(code);
  std::string moved;
  while (!code.empty()) {
    const std::string_view line = TakeLine(code);
    moved += fmt::format("{}\n", line.substr(std::min(indent, line.size())));
  }
  return moved;
}

std::string AssembleSource(const CodeTask& task, std::string_view code) {
  const bool prompt_is_code =
      !task.prompt.empty() && !task.entry_point.empty() && Defines(task.prompt, task.entry_point);
  // Imports from __future__ have to come first.
  if (!prompt_is_code || code.find("from __future__") != std::string_view::npos) {
    return std::string(code);
  }
  if (!Defines(code, task.entry_point)) return fmt::format("{}\n{}", task.prompt, AsBody(code));
  return fmt::format("{}\n{}\n{}", task.prompt, LacksBody(task.prompt) ? "    pass\n" : "", code);
}

}  // namespace ponder
