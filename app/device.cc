#include "app/device.h"

#include <absl/strings/numbers.h>

namespace ponder {

absl::StatusOr<std::optional<int>> ParseDevice(const std::string& name) {
  constexpr int kMostGpus = 1024;
  if (name == "cpu") return std::nullopt;
  if (name == "cuda") return 0;
  int number = 0;
  if (name.starts_with("cuda:") && absl::SimpleAtoi(name.substr(5), &number) && number >= 0 &&
      number < kMostGpus) {
    return number;
  }
  return InvalidArgument("expected cpu, cuda or cuda:N (a GPU's number) as device, found \"{}\"",
                         name);
}

}  // namespace ponder
