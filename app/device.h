#pragma once

#include <optional>
#include <string>

#include "base/status.h"

namespace ponder {

// What a device's name stands for: the number of a GPU ("cuda", "cuda:1"), or nothing for "cpu".
absl::StatusOr<std::optional<int>> ParseDevice(const std::string& name);

}  // namespace ponder
