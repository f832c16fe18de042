#include "app/supervised_verifier.h"

#include <absl/synchronization/mutex.h>

#include <optional>

#include "base/child_process.h"
#include "verifiers/service/verifier_service.h"

namespace ponder {
namespace {

constexpr std::string_view kAnnouncement = "listening on ";
constexpr absl::Duration kEndLimit = absl::Seconds(1);

class SupervisedVerifier : public Verifier {
 public:
  explicit SupervisedVerifier(SupervisedVerifierOptions options) : options_(std::move(options)) {}

  absl::Status Start() {
    absl::MutexLock lock(&mutex_);
    return StartChild();
  }

  VerifierDescription Describe() const override {
    absl::MutexLock lock(&mutex_);
    return description_;
  }

  absl::StatusOr<std::vector<Verdict>> Verify(std::span<const VerifyItem> batch,
                                              absl::Time deadline) override {
    absl::MutexLock lock(&mutex_);
    if (!child_->Running()) PONDER_RETURN_IF_ERROR(Restart("it was not running"));
    absl::StatusOr<std::vector<Verdict>> verdicts = remote_->Verify(batch, deadline);
    if (verdicts.ok()) return verdicts;
    // Its connection goes a moment before its end can be seen.
    if (absl::IsUnavailable(verdicts.status())) child_->AwaitEnd(kEndLimit);
    // Whatever went wrong, a new process is the known state to go on from.
    PONDER_RETURN_IF_ERROR(Restart(std::string(verdicts.status().message())));
    return verdicts.status();
  }

 private:
  absl::Status StartChild() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    PONDER_ASSIGN_OR_RETURN(child_,
                            ChildProcess::Start(options_.command, ChildProcess::Errors::kWatched));
    if (options_.on_start) options_.on_start(child_->Pid());
    absl::StatusOr<std::string> line = child_->ReadLine(options_.start_timeout);
    if (!line.ok()) return Annotate(line.status(), "the verifier process did not start");
    if (!line->starts_with(kAnnouncement)) {
      return Internal("expected 'listening on HOST:PORT' from the verifier process, found '{}'",
                      *line);
    }
    remote_ = ConnectVerifier({.address = line->substr(kAnnouncement.size())});
    description_ = remote_->Describe();
    return absl::OkStatus();
  }

  // `reason` is why it has to end, where it has not ended by itself.
  absl::Status Restart(const std::string& reason) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    child_->Kill();
    const std::string words = child_->LastWords(reason);
    if (restarts_ >= options_.max_restarts) {
      return FailedPrecondition(
          "the verifier process failed again after {} restarts, last because {}; run `ponder "
          "verify` on its input, or raise verifier.max_restarts",
          restarts_, words);
    }
    ++restarts_;
    PONDER_RETURN_IF_ERROR(StartChild());
    if (options_.on_event) {
      options_.on_event(fmt::format("verifier restarted ({} of {}): {}", restarts_,
                                    options_.max_restarts, words));
    }
    return absl::OkStatus();
  }

  const SupervisedVerifierOptions options_;
  mutable absl::Mutex mutex_;
  std::optional<ChildProcess> child_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Verifier> remote_ ABSL_GUARDED_BY(mutex_);
  VerifierDescription description_ ABSL_GUARDED_BY(mutex_);
  int64_t restarts_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> StartSupervisedVerifier(
    SupervisedVerifierOptions options) {
  auto verifier = std::make_unique<SupervisedVerifier>(std::move(options));
  PONDER_RETURN_IF_ERROR(verifier->Start());
  return verifier;
}

}  // namespace ponder
