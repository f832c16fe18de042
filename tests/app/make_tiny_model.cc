// make_tiny_model DIR: a tiny random model, with ChatML's template, for tests that are no C++
// programs.
#include <fmt/format.h>

#include <cstdio>
#include <string>

#include "base/file.h"
#include "tests/app/tiny_model_directory.h"

namespace {

// Letter for letter: templates are known by their exact text.
constexpr char kChatMl[] =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ "
    "'<|im_start|>assistant\n' }}{% endif %}";

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "expected one argument, the directory to make\n");
    return 2;
  }
  const std::string directory = argv[1];
  absl::Status status = ponder::WriteTinyModelDirectory(directory);
  if (status.ok()) {
    status = ponder::WriteFileAtomically(directory + "/chat_template.jinja", kChatMl);
  }
  if (status.ok()) return 0;
  fmt::print(stderr, "make_tiny_model: {}\n", status.message());
  return 1;
}
