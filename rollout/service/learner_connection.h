#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/sync_stream.h>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/status.h"
#include "ponder/v1/rollout.grpc.pb.h"
#include "rollout/service/weight_stream.h"

namespace ponder {

// A worker's stream to the learner: one thread reads, one writes and says that the worker is alive
// where there is nothing else to say, so that the thread that computes never waits on the network.
// Send and Receive from one thread.
class LearnerConnection {
 public:
  // Null where the learner cannot be reached within `timeout`.
  static std::unique_ptr<LearnerConnection> Open(const std::string& address,
                                                 absl::Duration timeout);
  // Breaks the stream off where it has not ended.
  ~LearnerConnection();

  void Send(v1::WorkerMessage message);
  // The next message; waits for one up to `timeout`.
  std::optional<v1::LearnerMessage> Receive(absl::Duration timeout);
  // The last message; waits a moment for the learner to end the stream.
  void SayGoodbye(const std::string& reason);
  // Why the stream has ended, where it has and all its messages have been received.
  std::optional<absl::Status> Ended();

  // Fetches a policy version into `assembler`, all of it. NOT_FOUND where it is not the current one
  // any more, DATA_LOSS where it came damaged, CANCELLED where `cancelled` returned true.
  absl::Status FetchWeights(int64_t version, WeightAssembler& assembler,
                            const std::function<bool()>& cancelled);

 private:
  explicit LearnerConnection(std::shared_ptr<grpc::Channel> channel);
  void ReadLoop();
  void WriteLoop();
  bool HasIncoming() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !inbox_.empty() || ended_.has_value();
  }
  bool HasOutgoing() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !outbox_.empty() || stop_writing_;
  }

  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::Rollout::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::WorkerMessage, v1::LearnerMessage>> stream_;

  absl::Mutex mutex_;
  std::deque<v1::LearnerMessage> inbox_ ABSL_GUARDED_BY(mutex_);
  std::deque<v1::WorkerMessage> outbox_ ABSL_GUARDED_BY(mutex_);
  bool stop_writing_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> ended_ ABSL_GUARDED_BY(mutex_);

  std::thread writer_;  // ends before the reader
  std::thread reader_;
};

}  // namespace ponder
