#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "observe/http_message.h"

namespace ponder {

// Name and content of the pages' files; the build puts them into the program.
const std::vector<std::pair<std::string_view, std::string_view>>& DashboardFiles();

// The file of that name, 304 where the asker has it already, 404 where there is none.
HttpResponse AssetResponse(std::string_view name, const HttpRequest& request);

}  // namespace ponder
