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

absl::StatusOr<std::unique_ptr<Verifier>> StartOne(const VerifierChoiceKeys& keys,
                                                   int64_t max_restarts, const OnEvent& on_event) {
  if (!keys.address.empty()) return ConnectVerifier({.address = keys.address});
  if (!keys.command.empty()) {
    return StartCommandVerifier(
        {.command = keys.command, .max_restarts = max_restarts, .on_event = on_event});
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
  return StartSupervisedVerifier(
      {.command = std::move(command), .max_restarts = max_restarts, .on_event = on_event});
}

MemberRole ToRole(const std::string& role) {
  if (role == "judge") return MemberRole::kJudge;
  return role == "audit" ? MemberRole::kAudit : MemberRole::kPart;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> StartConfiguredVerifier(const RunConfig& config,
                                                                  OnEvent on_event) {
  const int64_t max_restarts = config.verifier.max_restarts;
  absl::StatusOr<std::unique_ptr<Verifier>> main =
      StartOne(config.verifier, max_restarts, on_event);
  if (!main.ok()) return Annotate(main.status(), "[verifier]");
  std::vector<CombinedMember> members;
  for (const auto& [name, keys] : config.verifiers) {
    absl::StatusOr<std::unique_ptr<Verifier>> verifier = StartOne(keys, max_restarts, on_event);
    if (!verifier.ok()) {
      return Annotate(verifier.status(), fmt::format("[{}.{}]", kAddedVerifiers, name));
    }
    members.push_back({.name = name,
                       .role = ToRole(keys.role),
                       .sources = keys.sources,
                       .kinds = keys.kinds,
                       .share = keys.share,
                       .verifier = *std::move(verifier)});
  }
  return CombineVerifiers(*std::move(main), std::move(members));
}

JudgeOptions MakeJudgeOptions(const RunConfig& config) {
  return {.deadline = absl::Seconds(config.verifier.deadline_s),
          .max_retries = config.verifier.max_retries,
          .wait = [](absl::Duration duration) { absl::SleepFor(duration); }};
}

}  // namespace ponder
