#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "verifiers/verifier.h"

namespace ponder {

// A verifier named on the command line: at most one of the four.
struct VerifierChoice {
  std::string name;  // a built-in one
  std::string address;
  std::string command;  // for a shell
  std::string plugin;
  std::vector<std::string> settings;  // of a built-in one

  bool Given() const {
    return !name.empty() || !address.empty() || !command.empty() || !plugin.empty();
  }
};

// The option `name_flag`, --command, --plugin and --set.
void AddVerifierOptions(CLI::App& command, const std::string& name_flag, VerifierChoice& choice);

// In this process, except for what a command or an address is. `default_name` where none is named.
absl::StatusOr<std::unique_ptr<Verifier>> MakeVerifier(const VerifierChoice& choice,
                                                       const std::string& default_name);

}  // namespace ponder
