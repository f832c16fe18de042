#include "rollout/service/learner_connection.h"

#include <absl/time/clock.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <utility>

#include "rollout/service/convert.h"

namespace ponder {
namespace {

// Several fit into the learner's heartbeat timeout.
constexpr absl::Duration kHeartbeatInterval = absl::Seconds(2);
// A learner whose process is stopped or whose machine has gone does not answer pings.
constexpr int kPingIntervalMs = 10000;
constexpr int kPingTimeoutMs = 20000;

constexpr absl::Duration kGoodbyeLimit = absl::Seconds(2);

constexpr char kFetchMethod[] = "/ponder.v1.Rollout/FetchWeights";
// Weights come in large frames, and several chunks of them may be under way; gRPC's own search for
// a window size would hold them up with pings.
constexpr int kFrameBytes = 1 << 20;
constexpr int kWindowBytes = 16 << 20;

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kFrameBytes);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindowBytes);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kPingIntervalMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // The caller decides how often to try again: a channel of its own, and no growing pauses.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

std::unique_ptr<LearnerConnection> LearnerConnection::Open(const std::string& address,
                                                           absl::Duration timeout) {
  std::shared_ptr<grpc::Channel> channel = MakeChannel(address);
  if (!channel->WaitForConnected(absl::ToChronoTime(absl::Now() + timeout))) return nullptr;
  return std::unique_ptr<LearnerConnection>(new LearnerConnection(std::move(channel)));
}

LearnerConnection::LearnerConnection(std::shared_ptr<grpc::Channel> channel)
    : channel_(std::move(channel)),
      stub_(v1::Rollout::NewStub(channel_)),
      stream_(stub_->Work(&context_)) {
  writer_ = std::thread([this] { WriteLoop(); });
  reader_ = std::thread([this] { ReadLoop(); });
}

LearnerConnection::~LearnerConnection() {
  context_.TryCancel();
  reader_.join();
}

void LearnerConnection::Send(v1::WorkerMessage message) {
  absl::MutexLock lock(&mutex_);
  outbox_.push_back(std::move(message));
}

std::optional<v1::LearnerMessage> LearnerConnection::Receive(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(this, &LearnerConnection::HasIncoming), timeout);
  if (inbox_.empty()) return std::nullopt;
  v1::LearnerMessage message = std::move(inbox_.front());
  inbox_.pop_front();
  return message;
}

void LearnerConnection::SayGoodbye(const std::string& reason) {
  v1::WorkerMessage message;
  message.mutable_goodbye()->set_reason(reason);
  absl::MutexLock lock(&mutex_);
  outbox_.push_back(std::move(message));
  const auto has_ended = [this]()
                             ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return ended_.has_value(); };
  mutex_.AwaitWithTimeout(absl::Condition(&has_ended), kGoodbyeLimit);
}

std::optional<absl::Status> LearnerConnection::Ended() {
  absl::MutexLock lock(&mutex_);
  if (!inbox_.empty()) return std::nullopt;
  return ended_;
}

absl::Status LearnerConnection::FetchWeights(int64_t version, WeightAssembler& assembler,
                                             const std::function<bool()>& cancelled) {
  v1::FetchWeightsRequest request;
  request.set_policy_version(version);
  grpc::ByteBuffer message;
  bool owned = false;
  grpc::SerializationTraits<v1::FetchWeightsRequest>::Serialize(request, &message, &owned);

  // The stub parses chunks into messages, a copy more; this takes them as they come.
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto call = grpc::GenericStub(channel_).PrepareCall(&context, kFetchMethod, &queue);
  // One operation at a time: the tag says nothing.
  const auto done = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  call->StartCall(nullptr);
  absl::Status status;
  if (done()) {
    call->WriteLast(message, grpc::WriteOptions(), nullptr);
    bool more = done();
    grpc::ByteBuffer next;
    if (more) call->Read(&next, nullptr);
    while (more && (more = done())) {
      grpc::ByteBuffer chunk;
      chunk.Swap(&next);
      if (status.ok()) {
        call->Read(&next, nullptr);  // comes in while this one is taken
        status = cancelled() ? absl::CancelledError("fetching weights was cancelled")
                             : assembler.Add(std::move(chunk));
        if (!status.ok()) context.TryCancel();
      } else {
        more = false;
      }
    }
  }
  grpc::Status end;
  call->Finish(&end, nullptr);
  done();
  queue.Shutdown();
  if (!status.ok()) return status;
  PONDER_RETURN_IF_ERROR(
      Annotate(FromGrpc(end), fmt::format("fetching policy version {}", version)));
  return assembler.Finish();
}

void LearnerConnection::ReadLoop() {
  v1::LearnerMessage message;
  while (stream_->Read(&message)) {
    absl::MutexLock lock(&mutex_);
    inbox_.push_back(std::move(message));
  }
  {
    absl::MutexLock lock(&mutex_);
    stop_writing_ = true;
  }
  writer_.join();
  const grpc::Status status = stream_->Finish();
  absl::MutexLock lock(&mutex_);
  ended_ = FromGrpc(status);
}

void LearnerConnection::WriteLoop() {
  while (true) {
    v1::WorkerMessage message;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.AwaitWithTimeout(absl::Condition(this, &LearnerConnection::HasOutgoing),
                              kHeartbeatInterval);
      if (stop_writing_) return;
      if (outbox_.empty()) {
        message.mutable_heartbeat();
      } else {
        message = std::move(outbox_.front());
        outbox_.pop_front();
      }
    }
    if (!stream_->Write(message)) return;  // the reader learns why
  }
}

}  // namespace ponder
