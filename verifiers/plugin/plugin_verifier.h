#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "verifiers/verifier.h"

namespace ponder {

// The verifier in a shared object (verifiers/plugin/ponder_verifier.h), in this process: where it
// crashes or hangs, so does the caller, so a run loads it in a process of its own. NOT_FOUND where
// the file cannot be loaded, INVALID_ARGUMENT where it is no plugin or one of another version.
// Thread-safe.
absl::StatusOr<std::unique_ptr<Verifier>> LoadPluginVerifier(const std::string& path);

}  // namespace ponder
