#include "verifiers/command_verifier.h"

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "base/child_process.h"
#include "verifiers/item_json.h"
#include "verifiers/verdict_check.h"

namespace ponder {
namespace {

constexpr absl::Duration kLongestCall = absl::Hours(1);  // every wait ends
constexpr absl::Duration kEndLimit = absl::Seconds(1);

class CommandVerifier : public Verifier {
 public:
  explicit CommandVerifier(CommandVerifierOptions options) : options_(std::move(options)) {}

  absl::Status Start() {
    absl::MutexLock lock(&mutex_);
    return StartChild();
  }

  VerifierDescription Describe() const override {
    return {.name = fmt::format("{}", fmt::join(options_.command, " ")), .version = "command"};
  }

  absl::StatusOr<std::vector<Verdict>> Verify(std::span<const VerifyItem> batch,
                                              absl::Time deadline) override {
    absl::MutexLock lock(&mutex_);
    deadline = std::min(deadline, absl::Now() + kLongestCall);
    std::vector<Verdict> verdicts(batch.size());
    std::map<int64_t, size_t> owed;  // by id: the places of the items without a verdict
    for (size_t place = 0; place < batch.size(); ++place) owed[next_id_++] = place;
    while (!owed.empty()) {
      if (!child_->Running()) PONDER_RETURN_IF_ERROR(Restart("it was not running").status());
      const absl::Status status = Exchange(batch, deadline, owed, verdicts);
      if (status.ok()) break;
      // Its output closes a moment before its end can be seen.
      if (absl::IsUnavailable(status)) child_->AwaitEnd(kEndLimit);
      // Whatever went wrong, a new process is the known state to go on from.
      PONDER_ASSIGN_OR_RETURN(const std::string reason, Restart(std::string(status.message())));
      if (absl::IsUnavailable(status)) {
        // The first one owed is the likeliest to have killed it; the others deserve a new process.
        verdicts[owed.begin()->second] = InternalVerdict(reason);
        owed.erase(owed.begin());
      } else {
        for (const auto& [id, place] : owed) verdicts[place] = InternalVerdict(reason);
        owed.clear();
      }
    }
    return verdicts;
  }

 private:
  // Sends the items that are owed and takes verdicts until none is. UNAVAILABLE where the process
  // ended.
  absl::Status Exchange(std::span<const VerifyItem> batch, absl::Time deadline,
                        std::map<int64_t, size_t>& owed, std::vector<Verdict>& verdicts)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::string lines;
    for (const auto& [id, place] : owed) {
      nlohmann::json line = ToJson(batch[place]);
      line["id"] = id;
      lines += Dump(line) + "\n";
    }
    std::string_view unsent = lines;
    while (!owed.empty()) {
      const absl::Time wait_until =
          answered_ ? deadline : std::max(deadline, started_ + options_.start_timeout);
      PONDER_ASSIGN_OR_RETURN(const std::string answer, child_->Converse(unsent, wait_until));
      const nlohmann::json value = ParseJson(answer);
      const auto id = value.is_object() ? value.find("id") : value.end();
      if (!value.is_object() || id == value.end() || !id->is_number_integer()) {
        return InvalidArgument(
            "expected a verdict as {{\"id\": ..., \"status\" or \"score\": ...}} from the command, "
            "found {}",
            answer.substr(0, 200));
      }
      const auto found = owed.find(id->get<int64_t>());
      if (found == owed.end()) {
        return InvalidArgument("the command gave a verdict on the item {}, which it does not owe",
                               id->get<int64_t>());
      }
      answered_ = true;
      verdicts[found->second] = VerdictFromJson(value);
      owed.erase(found);
    }
    return absl::OkStatus();
  }

  absl::Status StartChild() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    PONDER_ASSIGN_OR_RETURN(child_,
                            ChildProcess::Start(options_.command, ChildProcess::Errors::kWatched));
    if (options_.on_start) options_.on_start(child_->Pid());
    started_ = absl::Now();
    answered_ = false;
    return absl::OkStatus();
  }

  // `reason` is why it has to end, where it has not ended by itself. Returns the last words.
  absl::StatusOr<std::string> Restart(const std::string& reason)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    child_->Kill();
    std::string words = child_->LastWords(reason);
    if (restarts_ >= options_.max_restarts) {
      return FailedPrecondition(
          "the verifier's command {} failed again after {} restarts, last because {}; try it by "
          "hand on a line that `ponder verify` takes, or raise max_restarts",
          options_.command[0], restarts_, words);
    }
    ++restarts_;
    PONDER_RETURN_IF_ERROR(StartChild());
    if (options_.on_event) {
      options_.on_event(fmt::format("verifier {} restarted ({} of {}): {}", options_.command[0],
                                    restarts_, options_.max_restarts, words));
    }
    return words;
  }

  const CommandVerifierOptions options_;
  absl::Mutex mutex_;
  std::optional<ChildProcess> child_ ABSL_GUARDED_BY(mutex_);
  absl::Time started_ ABSL_GUARDED_BY(mutex_);
  bool answered_ ABSL_GUARDED_BY(mutex_) = false;  // this process, so far
  int64_t restarts_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> StartCommandVerifier(CommandVerifierOptions options) {
  if (options.command.empty()) return InvalidArgument("expected a command, found none");
  auto verifier = std::make_unique<CommandVerifier>(std::move(options));
  PONDER_RETURN_IF_ERROR(verifier->Start());
  return verifier;
}

}  // namespace ponder
