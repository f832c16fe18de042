// make_tiny_model DIR [STEPS]: a tiny random model, with ChatML's template, for tests that are no
// C++ programs; with STEPS a whole tiny run around it (WriteTinyRun).
#include <absl/strings/numbers.h>
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
  int64_t steps = 0;
  if (argc < 2 || argc > 3 || (argc == 3 && !absl::SimpleAtoi(argv[2], &steps))) {
    fmt::print(stderr, "usage: make_tiny_model DIR [STEPS]\n");
    return 2;
  }
  std::string directory = argv[1];
  absl::Status status = argc == 3 ? ponder::WriteTinyRun(directory, steps)
                                  : ponder::WriteTinyModelDirectory(directory);
  if (argc == 3) directory += "/model";
  if (status.ok()) {
    status = ponder::WriteFileAtomically(directory + "/chat_template.jinja", kChatMl);
  }
  if (status.ok()) return 0;
  fmt::print(stderr, "make_tiny_model: {}\n", status.message());
  return 1;
}
