#pragma once

#include <cstddef>

namespace ponder {

// A message beyond this is refused with RESOURCE_EXHAUSTED, on both sides.
inline constexpr int kMaxMessageBytes = 256 << 20;
// What a call holds where it has the choice: servers in other languages take 4 MiB unless told
// otherwise.
inline constexpr size_t kUsualCallBytes = size_t{3} << 20;

}  // namespace ponder
