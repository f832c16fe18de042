#include "model/tensor_source.h"

#include <algorithm>

#include "base/check.h"

namespace ponder {

absl::Status TensorSource::ReadPart(const std::string& name, int64_t begin, int64_t count,
                                    float* out) const {
  PONDER_ASSIGN_OR_RETURN(const std::vector<int64_t> shape, Shape(name));
  int64_t whole = 1;
  for (const int64_t size : shape) whole *= size;
  PONDER_CHECK(begin >= 0 && count >= 0 && begin + count <= whole, name);
  if (count == whole) return Read(name, out, whole);
  std::vector<float> values(static_cast<size_t>(whole));
  PONDER_RETURN_IF_ERROR(Read(name, values.data(), whole));
  std::copy_n(values.begin() + begin, count, out);
  return absl::OkStatus();
}

}  // namespace ponder
