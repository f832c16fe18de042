#include "verifiers/code/code_verifier.h"

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>

#include <algorithm>
#include <deque>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "verifiers/code/sandbox.h"
#include "verifiers/code/slot.h"

namespace ponder {
namespace {

constexpr char kVersion[] = "1";
constexpr int64_t kMaxCompletionBytes = int64_t{16} << 20;

// More than cores: a slot's processes wait for one another now and then.
int64_t DefaultSlots() {
  const int64_t cores = std::max<unsigned>(1, std::thread::hardware_concurrency());
  return cores + (cores + 1) / 2;
}

// A call of Verify under way; lives on its caller's stack.
struct Call {
  std::span<const VerifyItem> items;
  absl::Time deadline;
  std::vector<Verdict> verdicts;
  size_t left = 0;  // without a verdict yet
};

class CodeVerifier : public Verifier {
 public:
  CodeVerifier(Sandbox sandbox, bool anywhere)
      : sandbox_(std::move(sandbox)), anywhere_(anywhere) {}

  ~CodeVerifier() override {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    for (std::thread& thread : threads_) thread.join();
  }

  // Makes the slots, the first with what was tried already.
  absl::Status Start(const CodeVerifierOptions& options) {
    auto first = std::make_unique<Slot>(sandbox_, 0, anywhere_);
    PONDER_ASSIGN_OR_RETURN(const std::string probed, first->Probe());
    PONDER_RETURN_IF_ERROR(CheckProbe(probed, options.allow_weak_sandbox));
    const int64_t slots = options.slots > 0 ? options.slots : DefaultSlots();
    if (options.log) {
      options.log(fmt::format("code sandbox: {} slots; {}", slots, first->DescribeLimits()));
    }
    slots_.push_back(std::move(first));
    for (int64_t i = 1; i < slots; ++i) {
      slots_.push_back(std::make_unique<Slot>(sandbox_, i, anywhere_));
    }
    for (const auto& slot : slots_) threads_.emplace_back([this, &slot] { Work(*slot); });
    return absl::OkStatus();
  }

  VerifierDescription Describe() const override {
    return {.name = "code",
            .version = kVersion,
            .task_kinds = {"code"},
            .max_completion_bytes = kMaxCompletionBytes};
  }

  absl::StatusOr<std::vector<Verdict>> Verify(std::span<const VerifyItem> batch,
                                              absl::Time deadline) override {
    Call call{.items = batch,
              .deadline = deadline,
              .verdicts = std::vector<Verdict>(batch.size()),
              .left = batch.size()};
    absl::MutexLock lock(&mutex_);
    for (size_t i = 0; i < batch.size(); ++i) queue_.emplace_back(&call, i);
    // Each item ends by itself: its slot stops at the deadline.
    mutex_.Await(absl::Condition(
        +[](Call* call) { return call->left == 0; }, &call));
    return std::move(call.verdicts);
  }

 private:
  // All but memory and processes must be refused in any case.
  static absl::Status CheckProbe(const std::string& probed, bool allow_weak) {
    const auto refused = nlohmann::json::parse(probed, nullptr, /*allow_exceptions=*/false);
    if (!refused.is_object() || refused.size() < 10) {
      return Internal("the sandbox's own test printed '{}'", probed);
    }
    for (const auto& [name, value] : refused.items()) {
      if (value == true || (allow_weak && (name == "memory" || name == "processes"))) continue;
      return FailedPrecondition(
          "the sandbox does not hold on this machine: it lets a program reach {}; check the kernel "
          "and the container, or for memory and processes set allow_weak_sandbox",
          name);
    }
    return absl::OkStatus();
  }

  void Work(Slot& slot) {
    const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return stopping_ || !queue_.empty();
    };
    for (;;) {
      std::pair<Call*, size_t> work;
      {
        absl::MutexLock lock(&mutex_, absl::Condition(&ready));
        if (queue_.empty()) return;
        work = queue_.front();
        queue_.pop_front();
      }
      auto& [call, index] = work;
      Verdict verdict = Judge(slot, call->items[index], call->deadline);
      absl::MutexLock lock(&mutex_);
      call->verdicts[index] = std::move(verdict);
      --call->left;
    }
  }

  static Verdict Judge(Slot& slot, const VerifyItem& item, absl::Time deadline) {
    const absl::Time start = absl::Now();
    Verdict verdict{.status = VerdictStatus::kInternal, .parts = {{"format", 0.0}}};
    if (start >= deadline) {
      verdict.reason = "the deadline had passed before this item's turn";
      return verdict;
    }
    if (static_cast<int64_t>(item.completion.size()) > kMaxCompletionBytes) {
      verdict.status = VerdictStatus::kUnparseable;
      verdict.reason = fmt::format("the completion has {} bytes, at most {} are judged",
                                   item.completion.size(), kMaxCompletionBytes);
      return verdict;
    }
    try {
      verdict = slot.Check(item, deadline);
    } catch (const std::exception& error) {
      verdict.reason = fmt::format("the verifier failed: {}", error.what());
    }
    verdict.elapsed_us = absl::ToInt64Microseconds(absl::Now() - start);
    return verdict;
  }

  const Sandbox sandbox_;
  const bool anywhere_;
  std::vector<std::unique_ptr<Slot>> slots_;
  absl::Mutex mutex_;
  std::deque<std::pair<Call*, size_t>> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> CreateCodeVerifier(const CodeVerifierOptions& options) {
  PONDER_ASSIGN_OR_RETURN(Sandbox sandbox, Sandbox::Make(options));
  auto verifier = std::make_unique<CodeVerifier>(std::move(sandbox), options.anywhere);
  PONDER_RETURN_IF_ERROR(verifier->Start(options));
  return verifier;
}

}  // namespace ponder
