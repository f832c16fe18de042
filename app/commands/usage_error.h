#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace ponder {

// What was wrong with the command line, with the nearest right thing, and where to look; for
// errors of `app`'s own parse.
std::string ExplainUsage(const CLI::App& app, const CLI::ParseError& error);

}  // namespace ponder
