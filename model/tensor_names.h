#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ponder {

// "expected a tensor NAME, found none; the nearest is OTHER": what a TensorSource answers to a name
// it does not have. `where` names the file or folder.
absl::Status NoSuchTensor(std::string_view name, const std::vector<std::string>& names,
                          std::string_view where);

// "[576, 1536]"
std::string ShapeText(const std::vector<int64_t>& shape);

}  // namespace ponder
