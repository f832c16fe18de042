#include "verifiers/combined_verifier.h"

#include <algorithm>
#include <map>
#include <thread>
#include <utility>

#include "base/random.h"
#include "verifiers/verdict_check.h"

namespace ponder {
namespace {

bool Holds(const std::vector<std::string>& names, const std::string& name) {
  return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
}

bool Fits(const CombinedMember& member, const Task& task) {
  return Holds(member.sources, task.source) && Holds(member.kinds, task.kind);
}

bool Looks(const CombinedMember& audit, const VerifyItem& item) {
  if (audit.share >= 1) return true;
  const RandomKey key = MakeRandomKey(StableHash(item.task.id), audit.name);
  return RandomUniform(key, StableHash(item.completion)) < audit.share;
}

// A verifier with the items it gets and what it said of them.
struct Call {
  Verifier* verifier = nullptr;
  std::vector<size_t> places;
  absl::StatusOr<std::vector<Verdict>> verdicts = std::vector<Verdict>();

  void Make(std::span<const VerifyItem> batch, absl::Time deadline) {
    if (places.empty()) return;
    if (places.size() == batch.size()) {
      verdicts = verifier->Verify(batch, deadline);
    } else {
      std::vector<VerifyItem> items;
      items.reserve(places.size());
      for (const size_t place : places) items.push_back(batch[place]);
      verdicts = verifier->Verify(items, deadline);
    }
    if (verdicts.ok() && verdicts->size() != places.size()) {
      verdicts = Internal("the verifier {} gave {} verdicts for {} items",
                          verifier->Describe().name, verdicts->size(), places.size());
    }
  }
};

class CombinedVerifier : public Verifier {
 public:
  CombinedVerifier(std::unique_ptr<Verifier> main, std::vector<CombinedMember> members)
      : main_(std::move(main)), members_(std::move(members)) {}

  VerifierDescription Describe() const override {
    VerifierDescription description = main_->Describe();
    for (const CombinedMember& member : members_) {
      description.name += " + " + member.name;
      description.version += " + " + member.verifier->Describe().version;
    }
    description.task_kinds.clear();
    description.max_batch = 0;  // each member splits by its own
    description.max_completion_bytes = 0;
    return description;
  }

  absl::StatusOr<std::vector<Verdict>> Verify(std::span<const VerifyItem> batch,
                                              absl::Time deadline) override {
    std::vector<Call> calls(members_.size() + 1);  // the last one is main's
    calls.back().verifier = main_.get();
    for (size_t i = 0; i < members_.size(); ++i) calls[i].verifier = members_[i].verifier.get();
    for (size_t place = 0; place < batch.size(); ++place) Assign(batch[place], place, calls);
    MakeAll(calls, batch, deadline);

    std::vector<Verdict> verdicts(batch.size());
    const auto take_verdicts = [&](Call& call) -> absl::Status {
      PONDER_RETURN_IF_ERROR(call.verdicts.status());
      for (size_t i = 0; i < call.places.size(); ++i) {
        verdicts[call.places[i]] = std::move((*call.verdicts)[i]);
      }
      return absl::OkStatus();
    };
    PONDER_RETURN_IF_ERROR(take_verdicts(calls.back()));
    for (size_t i = 0; i < members_.size(); ++i) {
      if (members_[i].role != MemberRole::kJudge) continue;
      const absl::Status status = take_verdicts(calls[i]);
      if (!status.ok()) return Annotate(status, members_[i].name);
    }
    for (size_t i = 0; i < members_.size(); ++i) {
      if (members_[i].role == MemberRole::kPart) {
        PONDER_RETURN_IF_ERROR(AddParts(members_[i], calls[i], verdicts));
      } else if (members_[i].role == MemberRole::kAudit) {
        AddAudit(members_[i], calls[i], verdicts);
      }
    }
    return verdicts;
  }

 private:
  void Assign(const VerifyItem& item, size_t place, std::vector<Call>& calls) const {
    bool judged = false;
    for (size_t i = 0; i < members_.size(); ++i) {
      const CombinedMember& member = members_[i];
      if (!Fits(member, item.task)) continue;
      if (member.role == MemberRole::kJudge && std::exchange(judged, true)) continue;
      if (member.role == MemberRole::kAudit && !Looks(member, item)) continue;
      calls[i].places.push_back(place);
    }
    if (!judged) calls.back().places.push_back(place);
  }

  static void MakeAll(std::vector<Call>& calls, std::span<const VerifyItem> batch,
                      absl::Time deadline) {
    std::vector<std::thread> others;
    for (size_t i = 0; i + 1 < calls.size(); ++i) {
      if (calls[i].places.empty()) continue;
      others.emplace_back([&call = calls[i], batch, deadline] { call.Make(batch, deadline); });
    }
    calls.back().Make(batch, deadline);
    for (std::thread& other : others) other.join();
  }

  static absl::Status AddParts(const CombinedMember& member, const Call& call,
                               std::vector<Verdict>& verdicts) {
    if (!call.verdicts.ok()) return Annotate(call.verdicts.status(), member.name);
    for (size_t i = 0; i < call.places.size(); ++i) {
      const Verdict& said = (*call.verdicts)[i];
      Verdict& verdict = verdicts[call.places[i]];
      if (IsFailure(said)) {
        verdict.status = VerdictStatus::kInternal;
        verdict.reason = fmt::format("{}: {}", member.name, said.reason);
        continue;
      }
      verdict.parts[member.name] = said.score;
      for (const auto& [name, value] : said.parts) verdict.parts[member.name + "/" + name] = value;
    }
    return absl::OkStatus();
  }

  static void AddAudit(const CombinedMember& member, const Call& call,
                       std::vector<Verdict>& verdicts) {
    const std::string part = kAuditPrefix + member.name;
    for (size_t i = 0; i < call.places.size(); ++i) {
      Verdict& verdict = verdicts[call.places[i]];
      if (IsFailure(verdict)) continue;  // it is judged again, and audited then
      if (!call.verdicts.ok() || IsFailure((*call.verdicts)[i])) {
        verdict.parts[part + kAuditFailedSuffix] = 1;
        continue;
      }
      const Verdict& said = (*call.verdicts)[i];
      const bool disputed =
          (said.status == VerdictStatus::kCorrect) != (verdict.status == VerdictStatus::kCorrect);
      verdict.parts[part] = said.score;
      verdict.parts[part + kAuditDisputedSuffix] = disputed ? 1 : 0;
      if (!disputed) continue;
      verdict.reason += fmt::format("{}{} says {} ({})", verdict.reason.empty() ? "" : "; ",
                                    member.name, ToString(said.status), said.reason);
    }
  }

  const std::unique_ptr<Verifier> main_;
  const std::vector<CombinedMember> members_;
};

}  // namespace

std::unique_ptr<Verifier> CombineVerifiers(std::unique_ptr<Verifier> main,
                                           std::vector<CombinedMember> members) {
  if (members.empty()) return main;
  return std::make_unique<CombinedVerifier>(std::move(main), std::move(members));
}

}  // namespace ponder
