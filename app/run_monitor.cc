#include "app/run_monitor.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

namespace ponder {
namespace {

WorkerRecord ToRecord(const WorkerLoad& load) {
  return {.name = load.name,
          .role = "rollout",
          .address = load.address,
          .numerics = load.fingerprint,
          .policy_version = load.version,
          .running = std::min(load.running, load.capacity),
          .waiting = load.running - std::min(load.running, load.capacity),
          .state = load.running > 0 ? "working" : "idle"};
}

}  // namespace

void RunMonitor::Begin(const std::string& activity, int64_t step, int64_t steps,
                       const std::string& detail) {
  absl::MutexLock lock(&mutex_);
  const double left_s =
      state_.activity.empty() ? std::numeric_limits<double>::quiet_NaN() : state_.left_s;
  state_ = {.activity = activity,
            .step = step,
            .steps = steps,
            .workers = static_cast<int64_t>(workers_.size()),
            .left_s = left_s,
            .detail = detail};
  WriteState();
}

void RunMonitor::Progress(int64_t done, int64_t total) {
  absl::MutexLock lock(&mutex_);
  state_.done = done;
  state_.total = total;
  if (done == total || clock_.Now() - state_written_ >= kInterval) WriteState();
}

void RunMonitor::SetTimeLeft(double seconds) {
  absl::MutexLock lock(&mutex_);
  state_.left_s = seconds;
}

void RunMonitor::SeeWorkers(const std::vector<WorkerLoad>& workers) {
  absl::MutexLock lock(&mutex_);
  if (!workers.empty() && clock_.Now() - workers_written_ < kInterval) return;
  workers_written_ = clock_.Now();
  std::set<std::string> here;
  for (const WorkerLoad& load : workers) {
    WorkerRecord record = ToRecord(load);
    here.insert(record.name);
    store_.WriteWorker(record).IgnoreError();
    workers_[record.name] = std::move(record);
  }
  for (auto it = workers_.begin(); it != workers_.end();) {
    if (here.contains(it->first)) {
      ++it;
      continue;
    }
    it->second.state = "left";
    it->second.running = it->second.waiting = 0;
    store_.WriteWorker(it->second).IgnoreError();
    it = workers_.erase(it);
  }
  state_.workers = static_cast<int64_t>(workers_.size());
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
  state_written_ = clock_.Now();
  store_.WriteState(state_).IgnoreError();
}

}  // namespace ponder
