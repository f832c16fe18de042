#pragma once

#include <string_view>
#include <utility>
#include <vector>

namespace ponder {

// The Python files of this folder, name and content; the build writes them into the program.
const std::vector<std::pair<std::string_view, std::string_view>>& EmbeddedSources();

// zygote_native.cc as a shared object.
std::string_view EmbeddedNative();

}  // namespace ponder
