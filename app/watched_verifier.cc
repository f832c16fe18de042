#include "app/watched_verifier.h"

#include <atomic>
#include <utility>

namespace ponder {
namespace {

class WatchedVerifier : public Verifier {
 public:
  WatchedVerifier(std::unique_ptr<Verifier> verifier, std::shared_ptr<VerifierReport> report)
      : verifier_(std::move(verifier)), report_(std::move(report)) {
    AskVersion();
  }

  VerifierDescription Describe() const override { return verifier_->Describe(); }

  absl::StatusOr<std::vector<Verdict>> Verify(std::span<const VerifyItem> batch,
                                              absl::Time deadline) override {
    report_->BeginCall(std::ssize(batch));
    absl::StatusOr<std::vector<Verdict>> verdicts = verifier_->Verify(batch, deadline);
    if (verdicts.ok() && !described_) AskVersion();
    report_->EndCall(std::ssize(batch), verdicts.status());
    return verdicts;
  }

 private:
  // One that could not be reached at first has no version until it is asked again.
  void AskVersion() {
    const VerifierDescription description = verifier_->Describe();
    described_ = !description.version.empty();
    report_->Describe(description);
  }

  const std::unique_ptr<Verifier> verifier_;
  const std::shared_ptr<VerifierReport> report_;
  std::atomic<bool> described_ = false;
};

}  // namespace

VerifierReport::VerifierReport(const std::string& name, const std::string& address, OnSeen on_seen)
    : on_seen_(std::move(on_seen)),
      is_remote_(!address.empty()),
      record_{.name = name, .role = "verifier", .address = address} {}

void VerifierReport::Describe(const VerifierDescription& description) {
  absl::MutexLock lock(&mutex_);
  record_.software = fmt::format("{}{}{}", description.name, description.version.empty() ? "" : " ",
                                 description.version);
  Tell();
}

void VerifierReport::Start(pid_t child) {
  absl::MutexLock lock(&mutex_);
  record_.address = fmt::format("process {}", child);
}

void VerifierReport::Restart(const std::string& words) {
  absl::MutexLock lock(&mutex_);
  ++record_.restarts;
  record_.last_words = words;
  Tell();
}

void VerifierReport::BeginCall(int64_t items) {
  absl::MutexLock lock(&mutex_);
  record_.running += items;
  if (!lost_) Tell();
}

void VerifierReport::EndCall(int64_t items, const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  record_.running -= items;
  if (status.ok()) record_.done += items;
  lost_ = absl::IsFailedPrecondition(status) || (is_remote_ && absl::IsUnavailable(status));
  // Of a child the words came with its restart.
  if (lost_ || (is_remote_ && !status.ok())) record_.last_words = std::string(status.message());
  Tell();
}

void VerifierReport::Tell() {
  record_.state = lost_ ? "lost" : record_.running > 0 ? "working" : "idle";
  if (on_seen_) on_seen_(record_);
}

std::unique_ptr<Verifier> WatchVerifier(std::unique_ptr<Verifier> verifier,
                                        std::shared_ptr<VerifierReport> report) {
  return std::make_unique<WatchedVerifier>(std::move(verifier), std::move(report));
}

}  // namespace ponder
