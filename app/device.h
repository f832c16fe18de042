#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace ponder {

// What a device's name stands for: the number of a GPU ("cuda", "cuda:1"), or nothing for "cpu".
absl::StatusOr<std::optional<int>> ParseDevice(const std::string& name);

// The same for a list, "cuda:0,cuda:1": one device at least, all of one kind, each GPU once. "cpu"
// may be there several times: they share the processor.
absl::StatusOr<std::vector<std::optional<int>>> ParseDevices(const std::string& list);

}  // namespace ponder
