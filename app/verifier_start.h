#pragma once

#include <functional>
#include <memory>
#include <string>

#include "app/config.h"
#include "app/judge.h"
#include "app/watched_verifier.h"
#include "base/status.h"
#include "verifiers/verifier.h"

namespace ponder {

// The verifiers that a configuration names, as one: [verifier] with [verifiers.NAME] beside it.
// Built-in ones and shared objects each run in a supervised child process of this program, a
// command is a child itself, an address is connected to. `on_event` takes a line where one was
// started again, `on_seen` follows what each of them does.
absl::StatusOr<std::unique_ptr<Verifier>> StartConfiguredVerifier(
    const RunConfig& config, std::function<void(const std::string&)> on_event,
    VerifierReport::OnSeen on_seen = nullptr);

JudgeOptions MakeJudgeOptions(const RunConfig& config);

}  // namespace ponder
