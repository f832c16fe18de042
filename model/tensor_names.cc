#include "model/tensor_names.h"

#include <algorithm>
#include <span>

#include "base/nearest_name.h"

namespace ponder {
namespace {

// Bounds what a hostile checkpoint can make one message cost.
constexpr size_t kMostNames = 20000;

}  // namespace

absl::Status NoSuchTensor(std::string_view name, const std::vector<std::string>& names,
                          std::string_view where) {
  const std::string nearest =
      NearestName(name, std::span(names).first(std::min(names.size(), kMostNames)));
  if (nearest.empty()) return NotFound("{}: expected a tensor {}, found no tensors", where, name);
  return NotFound("{}: expected a tensor {}, found none of this name; the nearest is {}", where,
                  name, nearest);
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace ponder
