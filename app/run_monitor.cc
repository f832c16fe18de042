#include "app/run_monitor.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "observe/terminal_text.h"

namespace ponder {
namespace {

bool IsLearning(const std::string& activity) {
  return activity == "learning" || activity == "cold start";
}

std::string Harmless(const std::string& text) {
  return Shorten(OneLine(text), RunMonitor::kMostColumns);
}

WorkerRecord ToRecord(const WorkerLoad& load) {
  const int64_t running = std::min(load.running, load.capacity);
  WorkerRecord record{.name = Harmless(load.name),
                      .role = "rollout",
                      .address = Harmless(load.address),
                      .numerics = Harmless(load.fingerprint),
                      .policy_version = load.version,
                      .running = running,
                      .waiting = load.running - running,
                      .done = load.done,
                      .state = running > 0 ? "working" : "idle"};
  if (load.capacity > 0) {
    record.busy = static_cast<double>(running) / static_cast<double>(load.capacity);
  }
  return record;
}

void EndWorker(WorkerRecord& worker, const std::string& state) {
  worker.state = state;
  worker.running = worker.waiting = 0;
}

}  // namespace

void RunMonitor::Begin(const std::string& activity, int64_t step, int64_t steps,
                       const std::string& detail) {
  absl::MutexLock lock(&mutex_);
  BeginOfLearner(activity);
  AskGroups();
  WriteWorkers();
  const double left_s =
      state_.activity.empty() ? std::numeric_limits<double>::quiet_NaN() : state_.left_s;
  state_ = {.activity = activity,
            .step = step,
            .steps = steps,
            .workers = state_.workers,
            .left_s = left_s,
            .detail = detail};
  WriteState();
}

void RunMonitor::BeginOfLearner(const std::string& activity) {
  const absl::Time now = clock_.Now();
  if (IsLearning(state_.activity)) learnt_ += now - activity_began_;
  activity_began_ = now;
  const auto learner = workers_.find(kLearnerName);
  if (learner == workers_.end()) return;
  learner->second.state = IsLearning(activity) ? "working" : "idle";
  if (!IsLearning(activity)) return;
  if (now > update_began_ && update_began_ != absl::InfinitePast()) {
    learner->second.busy = absl::FDivDuration(learnt_, now - update_began_);
  }
  update_began_ = now;
  learnt_ = absl::ZeroDuration();
}

void RunMonitor::Progress(int64_t done, int64_t total) {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_.Now();
  if (now - workers_written_ >= kInterval) {
    AskGroups();
    WriteWorkers();
  }
  state_.done = done;
  state_.total = total;
  if (done == total || now - state_written_ >= kInterval) WriteState();
}

void RunMonitor::SetTimeLeft(double seconds) {
  absl::MutexLock lock(&mutex_);
  state_.left_s = seconds;
}

void RunMonitor::SetLearner(const std::string& software, const std::string& address,
                            const std::string& numerics, int64_t policy_version) {
  See({.name = kLearnerName,
       .role = "learner",
       .software = software,
       .address = address,
       .numerics = numerics,
       .policy_version = policy_version,
       .state = "idle"});
}

void RunMonitor::Learnt(int64_t policy_version, int64_t tokens) {
  absl::MutexLock lock(&mutex_);
  const auto learner = workers_.find(kLearnerName);
  if (learner == workers_.end()) return;
  learner->second.policy_version = policy_version;
  learner->second.done += tokens;
}

void RunMonitor::WatchGroups(const GroupSource& groups) {
  absl::MutexLock lock(&mutex_);
  groups_ = &groups;
}

// Holding the lock: a worker that goes meanwhile is seen to do so after this.
void RunMonitor::AskGroups() {
  if (groups_ == nullptr) return;
  std::set<std::string> here;
  for (const WorkerLoad& load : groups_->Workers()) {
    WorkerRecord record = ToRecord(load);
    here.insert(record.name);
    workers_[record.name] = std::move(record);
  }
  for (auto& [name, worker] : workers_) {
    if (worker.role == "rollout" && !here.contains(name)) EndWorker(worker, "left");
  }
}

void RunMonitor::SeeGone(const WorkerLoad& last, bool in_order, const std::string& words) {
  WorkerRecord record = ToRecord(last);
  EndWorker(record, in_order ? "left" : "lost");
  record.last_words = words;
  See(std::move(record));
}

void RunMonitor::See(WorkerRecord worker) {
  for (std::string* text :
       {&worker.name, &worker.software, &worker.address, &worker.numerics, &worker.last_words}) {
    *text = Harmless(*text);
  }
  absl::MutexLock lock(&mutex_);
  WorkerRecord& known = workers_[worker.name];
  const bool is_news =
      known.name.empty() || !worker.IsHere() || worker.last_words != known.last_words;
  known = std::move(worker);
  if (is_news) WriteWorkers();
}

void RunMonitor::WriteWorkers() {
  workers_written_ = clock_.Now();
  std::vector<WorkerRecord> records;
  for (const auto& [name, worker] : workers_) records.push_back(worker);
  if (!records.empty()) store_.WriteWorkers(records).IgnoreError();
  std::erase_if(workers_, [](const auto& worker) { return !worker.second.IsHere(); });
  const int64_t generating = std::ranges::count_if(
      workers_, [](const auto& worker) { return worker.second.role == "rollout"; });
  if (std::exchange(state_.workers, generating) != generating) WriteState();
}

void RunMonitor::EndWorkers(const std::string& words) {
  absl::MutexLock lock(&mutex_);
  AskGroups();
  groups_ = nullptr;
  for (auto& [name, worker] : workers_) {
    EndWorker(worker, "left");
    if (worker.last_words.empty()) worker.last_words = Harmless(words);
  }
  WriteWorkers();
}

void RunMonitor::Note(const std::string& kind, const std::string& message) {
  console_.Say(message);
  WriteEvent(kind, message);
}

void RunMonitor::Warn(const std::string& kind, const std::string& message) {
  console_.Warn(message);
  WriteEvent(kind, message);
}

void RunMonitor::WriteEvent(const std::string& kind, const std::string& message) {
  absl::MutexLock lock(&mutex_);
  store_.WriteEvent({.step = state_.step, .kind = kind, .message = message}).IgnoreError();
}

void RunMonitor::WriteState() {
  if (state_.activity.empty()) return;
  state_written_ = clock_.Now();
  store_.WriteState(state_).IgnoreError();
}

}  // namespace ponder
