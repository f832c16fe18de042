#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "ponder/v1/rollout.pb.h"

namespace ponder {

// The learner's end of one worker's stream. gRPC keeps it alive until the call is over; whoever
// else holds it may go on calling Send and Close, which do nothing then. Thread-safe.
class WorkerStream : public grpc::ServerBidiReactor<v1::WorkerMessage, v1::LearnerMessage> {
 public:
  // Told what happens, from gRPC's threads, one call at a time for a stream.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void OnMessage(const std::shared_ptr<WorkerStream>& stream,
                           v1::WorkerMessage message) = 0;
    // No message follows: the worker has gone, or Close was called.
    virtual void OnEnd(const std::shared_ptr<WorkerStream>& stream) = 0;
    // gRPC has let go of the stream.
    virtual void OnGone() = 0;
  };

  // `owner` lives until OnGone.
  static std::shared_ptr<WorkerStream> Start(grpc::CallbackServerContext& context, Owner& owner);

  // Never waits: messages are queued.
  void Send(v1::LearnerMessage message);
  // Ends the call with `status` once everything sent has gone out.
  void Close(const grpc::Status& status);
  // Ends it at once.
  void Cancel();

  const std::string& Peer() const { return peer_; }  // "ipv4:127.0.0.1:40000"

 private:
  WorkerStream(grpc::CallbackServerContext& context, Owner& owner);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  void ContinueLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  grpc::CallbackServerContext& context_;
  Owner& owner_;
  const std::string peer_;
  v1::WorkerMessage incoming_;

  absl::Mutex mutex_;
  std::shared_ptr<WorkerStream> self_ ABSL_GUARDED_BY(mutex_);  // until OnDone
  std::deque<v1::LearnerMessage> outbox_
      ABSL_GUARDED_BY(mutex_);  // the first one is on its way while writing_
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<grpc::Status> closing_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace ponder
