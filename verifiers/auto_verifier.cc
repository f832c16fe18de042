#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <utility>

#include "verifiers/built_in.h"

namespace ponder {
namespace {

constexpr char kCodeKind[] = "code";

class AutoVerifier : public Verifier {
 public:
  AutoVerifier(std::unique_ptr<Verifier> by_rule,
               std::function<absl::StatusOr<std::unique_ptr<Verifier>>()> make_code)
      : by_rule_(std::move(by_rule)), make_code_(std::move(make_code)) {}

  VerifierDescription Describe() const override {
    VerifierDescription description = by_rule_->Describe();
    description.task_kinds.push_back(kCodeKind);
    return description;
  }

  absl::StatusOr<std::vector<Verdict>> Verify(std::span<const VerifyItem> batch,
                                              absl::Time deadline) override {
    std::vector<VerifyItem> code, others;
    for (const VerifyItem& item : batch) {
      (item.task.kind == kCodeKind ? code : others).push_back(item);
    }
    if (code.empty()) return by_rule_->Verify(batch, deadline);
    PONDER_ASSIGN_OR_RETURN(Verifier* const verifier, CodeVerifier());
    // Rules take next to no time, so they come first.
    PONDER_ASSIGN_OR_RETURN(std::vector<Verdict> by_rule, by_rule_->Verify(others, deadline));
    PONDER_ASSIGN_OR_RETURN(std::vector<Verdict> by_code, verifier->Verify(code, deadline));
    std::vector<Verdict> verdicts;
    auto next_rule = by_rule.begin(), next_code = by_code.begin();
    for (const VerifyItem& item : batch) {
      verdicts.push_back(std::move(item.task.kind == kCodeKind ? *next_code++ : *next_rule++));
    }
    return verdicts;
  }

 private:
  absl::StatusOr<Verifier*> CodeVerifier() {
    absl::MutexLock lock(&mutex_);
    if (code_ == nullptr) {
      PONDER_ASSIGN_OR_RETURN(code_, make_code_());
    }
    return code_.get();
  }

  const std::unique_ptr<Verifier> by_rule_;
  const std::function<absl::StatusOr<std::unique_ptr<Verifier>>()> make_code_;
  absl::Mutex mutex_;
  std::unique_ptr<Verifier> code_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<Verifier> CreateAutoVerifier(
    std::unique_ptr<Verifier> by_rule,
    std::function<absl::StatusOr<std::unique_ptr<Verifier>>()> make_code) {
  return std::make_unique<AutoVerifier>(std::move(by_rule), std::move(make_code));
}

}  // namespace ponder
