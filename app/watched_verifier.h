#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

#include "observe/run_store.h"
#include "verifiers/verifier.h"

namespace ponder {

// What a verifier of a run does, as a record of its workers. Thread-safe.
class VerifierReport {
 public:
  // Called with each change, one call at a time; it must not call the verifier. May be empty.
  using OnSeen = std::function<void(const WorkerRecord&)>;

  // `name` is its table in the configuration; `address` is empty where it is a child of this
  // process.
  VerifierReport(const std::string& name, const std::string& address, OnSeen on_seen);

  void Describe(const VerifierDescription& description);
  void Start(pid_t child);
  // The child was started again, for these reasons.
  void Restart(const std::string& words);
  void BeginCall(int64_t items);
  // A verifier that will not come back, or cannot be reached, is lost until a call succeeds.
  void EndCall(int64_t items, const absl::Status& status);

 private:
  void Tell() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const OnSeen on_seen_;
  const bool is_remote_;
  absl::Mutex mutex_;
  WorkerRecord record_ ABSL_GUARDED_BY(mutex_);
  bool lost_ ABSL_GUARDED_BY(mutex_) = false;
};

// The same verifier; the report follows its calls.
std::unique_ptr<Verifier> WatchVerifier(std::unique_ptr<Verifier> verifier,
                                        std::shared_ptr<VerifierReport> report);

}  // namespace ponder
