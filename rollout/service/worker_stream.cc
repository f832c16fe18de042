#include "rollout/service/worker_stream.h"

#include <utility>

namespace ponder {

std::shared_ptr<WorkerStream> WorkerStream::Start(grpc::CallbackServerContext& context,
                                                  Owner& owner) {
  std::shared_ptr<WorkerStream> stream(new WorkerStream(context, owner));
  {
    absl::MutexLock lock(&stream->mutex_);
    stream->self_ = stream;
  }
  stream->StartRead(&stream->incoming_);
  return stream;
}

WorkerStream::WorkerStream(grpc::CallbackServerContext& context, Owner& owner)
    : context_(context), owner_(owner), peer_(context.peer()) {}

void WorkerStream::Send(v1::LearnerMessage message) {
  absl::MutexLock lock(&mutex_);
  if (closing_.has_value()) return;
  outbox_.push_back(std::move(message));
  ContinueLocked();
}

void WorkerStream::Close(const grpc::Status& status) {
  absl::MutexLock lock(&mutex_);
  if (closing_.has_value()) return;
  closing_ = status;
  ContinueLocked();
}

void WorkerStream::Cancel() {
  absl::MutexLock lock(&mutex_);
  if (finished_) return;
  context_.TryCancel();
  if (!closing_.has_value()) closing_ = grpc::Status::CANCELLED;
  broken_ = true;
  ContinueLocked();
}

void WorkerStream::OnReadDone(bool ok) {
  std::shared_ptr<WorkerStream> self;
  {
    absl::MutexLock lock(&mutex_);
    self = self_;
    if (!ok && !closing_.has_value()) closing_ = grpc::Status::OK;
    ContinueLocked();
  }
  if (ok) {
    owner_.OnMessage(self, std::exchange(incoming_, {}));
    absl::MutexLock lock(&mutex_);
    if (!closing_.has_value()) {
      StartRead(&incoming_);
      return;
    }
  }
  owner_.OnEnd(self);
}

void WorkerStream::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  writing_ = false;
  outbox_.pop_front();
  if (!ok) broken_ = true;
  ContinueLocked();
}

void WorkerStream::OnCancel() {
  absl::MutexLock lock(&mutex_);
  if (!closing_.has_value()) closing_ = grpc::Status::CANCELLED;
  broken_ = true;
  ContinueLocked();
}

void WorkerStream::OnDone() {
  Owner& owner = owner_;
  std::shared_ptr<WorkerStream> self;
  {
    absl::MutexLock lock(&mutex_);
    self = std::exchange(self_, nullptr);
  }
  self.reset();  // nothing of this object is touched from here on
  owner.OnGone();
}

// Starts whatever comes next: a write, or the end of the call.
void WorkerStream::ContinueLocked() {
  if (writing_ || finished_) return;
  if (!broken_ && !outbox_.empty()) {
    writing_ = true;
    StartWrite(&outbox_.front());
  } else if (closing_.has_value()) {
    finished_ = true;
    Finish(*closing_);
  }
}

}  // namespace ponder
