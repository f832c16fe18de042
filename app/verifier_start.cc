#include "app/verifier_start.h"

#include <absl/time/clock.h>

#include "app/supervised_verifier.h"
#include "base/child_process.h"
#include "verifiers/combined_verifier.h"
#include "verifiers/command_verifier.h"
#include "verifiers/service/verifier_service.h"

namespace ponder {
namespace {

using OnEvent = std::function<void(const std::string&)>;
using OnStart = std::function<void(pid_t)>;

absl::StatusOr<std::unique_ptr<Verifier>> StartOne(const VerifierChoiceKeys& keys,
                                                   int64_t max_restarts, const OnStart& on_start,
                                                   const OnEvent& on_event) {
  if (!keys.address.empty()) return ConnectVerifier({.address = keys.address});
  if (!keys.command.empty()) {
    return StartCommandVerifier({.command = keys.command,
                                 .max_restarts = max_restarts,
                                 .on_start = on_start,
                                 .on_event = on_event});
  }
  std::vector<std::string> command = {ProgramPath(), "verifier"};
  if (!keys.plugin.empty()) {
    command.insert(command.end(), {"--plugin", keys.plugin});
  } else {
    command.insert(command.end(), {"--name", keys.name});
    for (const auto& [key, value] :
         {std::pair<std::string, std::string>{"extraction", keys.extraction},
          {"anchors", keys.anchors},
          {"decimal_places", keys.decimal_places},
          {"percent", keys.percent},
          {"units", keys.units},
          {"allow_weak_sandbox", keys.allow_weak_sandbox ? "true" : "false"}}) {
      command.insert(command.end(), {"--set", key + "=" + value});
    }
  }
  command.insert(command.end(), {"--listen", "127.0.0.1:0", "--until-input-closes"});
  return StartSupervisedVerifier({.command = std::move(command),
                                  .max_restarts = max_restarts,
                                  .on_start = on_start,
                                  .on_event = on_event});
}

// `name` is the verifier's table in the configuration.
absl::StatusOr<std::unique_ptr<Verifier>> StartWatched(const std::string& name,
                                                       const VerifierChoiceKeys& keys,
                                                       int64_t max_restarts,
                                                       const OnEvent& on_event,
                                                       const VerifierReport::OnSeen& on_seen) {
  const auto report = std::make_shared<VerifierReport>(name, keys.address, on_seen);
  absl::StatusOr<std::unique_ptr<Verifier>> verifier = StartOne(
      keys, max_restarts, [report](pid_t child) { report->Start(child); },
      [report, on_event](const std::string& event) {
        report->Restart(event);
        if (on_event) on_event(event);
      });
  if (!verifier.ok()) return Annotate(verifier.status(), fmt::format("[{}]", name));
  return WatchVerifier(*std::move(verifier), report);
}

MemberRole ToRole(const std::string& role) {
  if (role == "judge") return MemberRole::kJudge;
  return role == "audit" ? MemberRole::kAudit : MemberRole::kPart;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> StartConfiguredVerifier(const RunConfig& config,
                                                                  OnEvent on_event,
                                                                  VerifierReport::OnSeen on_seen) {
  const int64_t max_restarts = config.verifier.max_restarts;
  PONDER_ASSIGN_OR_RETURN(
      std::unique_ptr<Verifier> main,
      StartWatched("verifier", config.verifier, max_restarts, on_event, on_seen));
  std::vector<CombinedMember> members;
  for (const auto& [name, keys] : config.verifiers) {
    PONDER_ASSIGN_OR_RETURN(std::unique_ptr<Verifier> verifier,
                            StartWatched(fmt::format("{}.{}", kAddedVerifiers, name), keys,
                                         max_restarts, on_event, on_seen));
    members.push_back({.name = name,
                       .role = ToRole(keys.role),
                       .sources = keys.sources,
                       .kinds = keys.kinds,
                       .share = keys.share,
                       .verifier = std::move(verifier)});
  }
  return CombineVerifiers(std::move(main), std::move(members));
}

JudgeOptions MakeJudgeOptions(const RunConfig& config) {
  return {.deadline = absl::Seconds(config.verifier.deadline_s),
          .max_retries = config.verifier.max_retries,
          .wait = [](absl::Duration duration) { absl::SleepFor(duration); }};
}

}  // namespace ponder
