#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace ponder {

// Scripts that complete commands, options, files, run folders, choices and, behind --set, the
// configuration's keys; made from the command line itself.
std::string BashCompletion(const CLI::App& app);
std::string ZshCompletion(const CLI::App& app);

}  // namespace ponder
