#include <absl/base/thread_annotations.h>
#include <absl/strings/match.h>
#include <absl/synchronization/mutex.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "ponder/v1/rollout.grpc.pb.h"
#include "rollout/remote_batches.h"
#include "rollout/service/convert.h"
#include "rollout/service/model_fingerprint.h"
#include "rollout/service/rollout_service.h"
#include "rollout/service/weight_call.h"
#include "rollout/service/weight_lender.h"
#include "rollout/service/weight_snapshot.h"
#include "rollout/service/worker_stream.h"

namespace ponder {
namespace {

using WorkerId = LeaseBook::WorkerId;

// How long Work sleeps at most before it looks at the clock and lets its caller look around.
constexpr absl::Duration kLookAround = absl::Milliseconds(20);
constexpr absl::Duration kGoodbyeLimit = absl::Seconds(2);
// Of a worker's name and fingerprints, and of what is kept of its last words.
constexpr size_t kMaxHelloBytes = 256;
constexpr size_t kMaxWordsBytes = 512;

class Server : public RolloutServer, private WorkerStream::Owner {
 public:
  Server(const Weights& weights, std::string fingerprint, const RolloutServerOptions& options)
      : weights_(weights),
        fingerprint_(std::move(fingerprint)),
        model_fingerprint_(ModelFingerprint(weights)),
        options_(options),
        clock_(options.clock == nullptr ? RealClock() : *options.clock),
        snapshots_(weights),
        service_(*this) {}

  ~Server() override {
    {
      absl::MutexLock lock(&mutex_);
      ending_ = true;
      v1::LearnerMessage goodbye;
      goodbye.mutable_goodbye()->set_reason("the run is over");
      for (auto& [id, worker] : workers_) {
        worker.stream->Send(goodbye);
        worker.stream->Close(grpc::Status::OK);
      }
      mutex_.AwaitWithTimeout(absl::Condition(this, &Server::NoStreams), kGoodbyeLimit);
    }
    if (server_ == nullptr) return;
    server_->Shutdown(absl::ToChronoTime(absl::Now() + absl::Seconds(1)));
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(this, &Server::NoStreams));  // all are cancelled by now
  }

  absl::Status Start() {
    if (!absl::StartsWith(options_.address, "127.") &&
        !absl::StartsWith(options_.address, "localhost:") &&
        !absl::StartsWith(options_.address, "[::1]:")) {
      return InvalidArgument(
          "rollout server: expected a loopback address, found \"{}\"; the protocol has no "
          "authentication, so let "
          "workers of other machines come through a tunnel",
          options_.address);
    }
    PONDER_RETURN_IF_ERROR(PublishWeights(weights_.Version()));
    absl::StatusOr<std::unique_ptr<WeightLender>> lender =
        WeightLender::Start([this] { return CurrentSnapshot(); });
    if (lender.ok()) {
      lender_ = *std::move(lender);
    } else {
      Say(fmt::format("weights go over gRPC alone: {}", lender.status().message()));
    }
    grpc::ServerBuilder builder;
    // Without this a second server would take half of the connections.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    // Workers may ping as often as they do (see learner_connection.cc).
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
    builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
    builder.SetMaxSendMessageSize(kMaxMessageBytes);
    builder.AddListeningPort(options_.address, grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0) {
      return Unavailable(
          "rollout server: cannot listen on {}: the port is in use or the address is not this "
          "machine's; choose another one, or port 0 for any",
          options_.address);
    }
    return absl::OkStatus();
  }

  int Port() const override { return port_; }
  std::vector<WorkerLoad> Workers() const override {
    absl::MutexLock lock(&mutex_);
    std::vector<WorkerLoad> loads;
    for (const auto& [id, worker] : workers_) loads.push_back(LoadOf(id, worker));
    return loads;
  }

  absl::Status PublishWeights(int64_t version) override {
    {
      absl::MutexLock lock(&mutex_);
      snapshot_ = nullptr;  // two copies only while an old one is being read
    }
    PONDER_ASSIGN_OR_RETURN(const std::shared_ptr<WeightSnapshot> snapshot,
                            snapshots_.Begin(version));
    {
      absl::MutexLock lock(&mutex_);
      snapshot_ = snapshot;
      version_ = version;
      for (auto& [id, worker] : workers_) Announce(worker);
    }
    snapshot->Fill(weights_);  // workers follow
    return absl::OkStatus();
  }

  absl::StatusOr<BatchId> Begin(GroupBatch batch) override {
    absl::MutexLock lock(&mutex_);
    if (batch.version != version_) {
      return FailedPrecondition(
          "groups of policy version {} were asked for, but version {} is published", batch.version,
          version_);
    }
    const BatchId id = batches_.Begin(std::move(batch));
    SendLeases();
    return id;
  }

  absl::StatusOr<bool> Work() override;

  void Wake() override {
    absl::MutexLock lock(&mutex_);
    news_ = true;
  }

  BatchProgress Progress(BatchId batch) const override {
    absl::MutexLock lock(&mutex_);
    return batches_.Progress(batch);
  }

  absl::StatusOr<GenerateStats> End(BatchId batch) override {
    absl::MutexLock lock(&mutex_);
    RemoteBatches::Ended ended = batches_.End(batch);
    // Whatever workers still have in hand is of no use.
    for (const auto& [worker, lease] : ended.withdrawn) {
      v1::LearnerMessage message;
      message.mutable_withdraw()->add_lease_ids(lease.id);
      workers_.at(worker).stream->Send(std::move(message));
    }
    if (batches_.Whole()) {
      failure_ = absl::OkStatus();
      without_worker_since_ = std::nullopt;
    }
    SendLeases();
    ended.stats.ignored_results = std::exchange(ignored_results_, 0);
    return ended.stats;
  }

 private:
  struct Worker {
    std::string name;
    std::string fingerprint;
    std::string transport;  // how weights came last
    int64_t version = 0;    // policy version that it said it runs on
    int64_t capacity = 0;
    int64_t done = 0;  // completions accepted
    absl::Time last_heard;
    std::shared_ptr<WorkerStream> stream;
  };

  // Weights go out as bytes that nobody needs to copy into messages.
  using RawService = v1::Rollout::WithCallbackMethod_Work<
      v1::Rollout::WithRawCallbackMethod_FetchWeights<v1::Rollout::Service>>;

  class Service : public RawService {
   public:
    explicit Service(Server& server) : server_(server) {}

    grpc::ServerBidiReactor<v1::WorkerMessage, v1::LearnerMessage>* Work(
        grpc::CallbackServerContext* context) override {
      {
        absl::MutexLock lock(&server_.mutex_);
        ++server_.streams_;
      }
      return WorkerStream::Start(*context, server_).get();
    }

    grpc::ServerWriteReactor<grpc::ByteBuffer>* FetchWeights(
        grpc::CallbackServerContext*, const grpc::ByteBuffer* request) override {
      return AnswerFetchWeights(server_.CurrentSnapshot(), *request);
    }

   private:
    Server& server_;
  };

  // ---- from gRPC's threads ----

  void OnMessage(const std::shared_ptr<WorkerStream>& stream, v1::WorkerMessage message) override {
    if (message.has_hello()) {
      Admit(stream, message.hello());
      return;
    }
    std::vector<Completion> completions;
    for (const v1::Completion& completion : message.result().completions())
      completions.push_back(FromProto(completion));
    std::string event;
    std::optional<WorkerGone> gone;
    {
      absl::MutexLock lock(&mutex_);
      const auto worker = Find(stream.get());
      if (worker == workers_.end()) {
        // Unless it was put out while this message was on its way, its first message was no hello.
        stream->Close(ToGrpc(InvalidArgument("expected a hello as a worker's first message")));
        return;
      }
      worker->second.last_heard = clock_.Now();
      if (message.has_installed()) event = NoteInstalled(worker->second, message.installed());
      if (message.has_result()) {
        gone = TakeResult(worker, message.result(), std::move(completions));
        news_ = true;
        SendLeases();
      } else if (message.has_goodbye()) {
        stream->Close(grpc::Status::OK);
        gone = Remove(worker, message.goodbye().reason().substr(0, kMaxWordsBytes));
        gone->in_order = true;
        news_ = true;
        SendLeases();
      }
    }
    if (!event.empty()) Say(event);
    if (gone.has_value()) SayGone(*gone);
    if (message.has_installed() && options_.on_installed) {
      options_.on_installed(message.installed().policy_version());
    }
  }

  void OnEnd(const std::shared_ptr<WorkerStream>& stream) override {
    std::optional<WorkerGone> gone;
    {
      absl::MutexLock lock(&mutex_);
      const auto worker = Find(stream.get());
      if (worker == workers_.end()) return;
      gone = Remove(worker, "its connection ended without a goodbye");
      if (ending_) return;
      news_ = true;
      SendLeases();
    }
    SayGone(*gone);
  }

  void OnGone() override {
    absl::MutexLock lock(&mutex_);
    --streams_;
  }

  void Admit(const std::shared_ptr<WorkerStream>& stream, const v1::WorkerHello& hello) {
    const std::string name = fmt::format("{} ({})", hello.name(), stream->Peer());
    absl::Status refusal;
    if (hello.name().size() > kMaxHelloBytes || hello.fingerprint().size() > kMaxHelloBytes ||
        hello.model_fingerprint().size() > kMaxHelloBytes) {
      stream->Close(ToGrpc(InvalidArgument(
          "expected a name and fingerprints of at most {} bytes each", kMaxHelloBytes)));
      Say(fmt::format("a rollout worker at {} refused: its hello is too long", stream->Peer()));
      return;
    }
    if (hello.model_fingerprint() != model_fingerprint_) {
      refusal = FailedPrecondition(
          "this run's model is \"{}\", worker {} has \"{}\"; start the worker with the model of "
          "the run",
          model_fingerprint_, hello.name(), hello.model_fingerprint());
    } else if (hello.max_sequences() < 1) {
      refusal = InvalidArgument("worker {} says that it runs {} completions at once", hello.name(),
                                hello.max_sequences());
    }
    if (!refusal.ok()) {
      stream->Close(ToGrpc(refusal));
      Say(fmt::format("rollout worker {} refused: {}", name, refusal.message()));
      return;
    }
    {
      absl::MutexLock lock(&mutex_);
      if (ending_) {
        stream->Close(grpc::Status::OK);
        return;
      }
      if (Find(stream.get()) != workers_.end()) return;  // a second hello changes nothing
      const WorkerId id = next_worker_++;
      Worker& worker = workers_[id];
      worker = {.name = name,
                .fingerprint = hello.fingerprint(),
                .capacity = hello.max_sequences(),
                .last_heard = clock_.Now(),
                .stream = stream};
      if (snapshot_ != nullptr) Announce(worker);
      batches_.Leases().Join(id, worker.capacity);
      SendLeases();
    }
    Say(fmt::format(
        "rollout worker {} joined{}", name,
        hello.fingerprint() == fingerprint_ ? "" : "; its numerics differ from the learner's"));
  }

  // What to say where weights came another way than before.
  static std::string NoteInstalled(Worker& worker, const v1::Installed& installed) {
    worker.version = installed.policy_version();
    if (worker.transport == installed.transport()) return "";
    worker.transport = installed.transport();
    return fmt::format("rollout worker {} takes weights by {}", worker.name, worker.transport);
  }

  // The worker where it had to be put out for it.
  std::optional<WorkerGone> TakeResult(std::map<WorkerId, Worker>::iterator worker,
                                       const v1::LeaseResult& result,
                                       std::vector<Completion> completions)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // ---- from Work ----

  std::vector<WorkerGone> PutOutSilentWorkers() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckSomebodyIsThere() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // ---- common ----

  std::shared_ptr<const WeightSnapshot> CurrentSnapshot() const {
    absl::MutexLock lock(&mutex_);
    return snapshot_;
  }

  void SendLeases() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  WorkerLoad LoadOf(WorkerId id, const Worker& worker) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return {.name = worker.name,
            .address = worker.stream->Peer(),
            .fingerprint = worker.fingerprint,
            .version = worker.version,
            .running = batches_.Leases().Outstanding(id),
            .capacity = worker.capacity,
            .done = worker.done};
  }

  // Its leases are for others from here on.
  WorkerGone Remove(std::map<WorkerId, Worker>::iterator worker, std::string words)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    WorkerGone gone{.last = LoadOf(worker->first, worker->second), .words = std::move(words)};
    batches_.Leases().Leave(worker->first);
    workers_.erase(worker);
    return gone;
  }

  void SayGone(const WorkerGone& gone) const {
    Say(fmt::format("rollout worker {} {}: {}", gone.last.name, gone.in_order ? "left" : "was lost",
                    gone.words));
    if (options_.on_gone) options_.on_gone(gone);
  }

  std::map<WorkerId, Worker>::iterator Find(const WorkerStream* stream)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return std::find_if(workers_.begin(), workers_.end(),
                        [&](const auto& entry) { return entry.second.stream.get() == stream; });
  }

  void Announce(const Worker& worker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    v1::LearnerMessage message;
    message.mutable_weights()->set_policy_version(snapshot_->Version());
    if (lender_ != nullptr) message.mutable_weights()->set_shared_memory(lender_->Name());
    worker.stream->Send(std::move(message));
  }

  bool NoStreams() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return streams_ == 0; }

  void Say(const std::string& event) const {
    if (options_.on_event) options_.on_event(event);
  }

  const Weights& weights_;
  const std::string fingerprint_;
  const std::string model_fingerprint_;
  const RolloutServerOptions options_;
  Clock& clock_;
  int port_ = 0;
  SnapshotStore snapshots_;

  mutable absl::Mutex mutex_;
  std::shared_ptr<const WeightSnapshot> snapshot_ ABSL_GUARDED_BY(mutex_);
  std::map<WorkerId, Worker> workers_ ABSL_GUARDED_BY(mutex_);
  WorkerId next_worker_ ABSL_GUARDED_BY(mutex_) = 1;
  RemoteBatches batches_ ABSL_GUARDED_BY(mutex_);
  int64_t version_ ABSL_GUARDED_BY(mutex_) = 0;   // published
  bool news_ ABSL_GUARDED_BY(mutex_) = false;     // Work has something to look at
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);  // the batches go no further
  std::optional<absl::Time> without_worker_since_ ABSL_GUARDED_BY(mutex_);
  int64_t ignored_results_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t streams_ ABSL_GUARDED_BY(mutex_) = 0;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;

  std::unique_ptr<WeightLender> lender_;  // null: weights go over gRPC alone
  Service service_;
  std::unique_ptr<grpc::Server> server_;
};

absl::StatusOr<bool> Server::Work() {
  std::vector<WorkerGone> put_out;
  absl::Status status;
  {
    absl::MutexLock lock(&mutex_);
    if (batches_.Whole()) return false;
    mutex_.AwaitWithTimeout(absl::Condition(&news_), kLookAround);
    news_ = false;
    put_out = PutOutSilentWorkers();
    SendLeases();
    failure_.Update(CheckSomebodyIsThere());
    status = failure_;
  }
  for (const WorkerGone& gone : put_out) SayGone(gone);
  PONDER_RETURN_IF_ERROR(status);
  return true;
}

std::optional<WorkerGone> Server::TakeResult(std::map<WorkerId, Worker>::iterator worker,
                                             const v1::LeaseResult& result,
                                             std::vector<Completion> completions) {
  auto& [id, known] = *worker;
  LeaseBook& leases = batches_.Leases();
  if (!result.error().empty() && leases.Find(id, result.lease_id()) != nullptr) {
    failure_.Update(leases.Fail(id, result.lease_id(), result.error()));
    return std::nullopt;
  }
  const int64_t count = std::ssize(completions);
  const absl::StatusOr<bool> accepted = batches_.Accept(
      id, result.lease_id(),
      {.completions = std::move(completions), .same_numerics = known.fingerprint == fingerprint_},
      weights_.DrawableTokens(), version_);
  if (accepted.ok()) {
    known.done += *accepted ? count : 0;
    ignored_results_ += !*accepted;
    return std::nullopt;
  }
  known.stream->Close(ToGrpc(accepted.status()));
  return Remove(worker, fmt::format("put out: {}", accepted.status().message()));
}

std::vector<WorkerGone> Server::PutOutSilentWorkers() {
  std::vector<WorkerGone> gone;
  const absl::Time now = clock_.Now();
  for (auto place = workers_.begin(); place != workers_.end();) {
    const auto worker = place++;
    if (now - worker->second.last_heard <= options_.heartbeat_timeout) continue;
    worker->second.stream->Cancel();
    gone.push_back(Remove(worker, fmt::format("silent for more than {}",
                                              absl::FormatDuration(options_.heartbeat_timeout))));
  }
  return gone;
}

void Server::SendLeases() {
  if (!failure_.ok()) return;
  for (const auto& [worker, lease] : batches_.Leases().Assign()) {
    const GroupRequest& request = batches_.Batch(lease.batch).requests[lease.request];
    v1::LearnerMessage message;
    v1::Lease& out = *message.mutable_lease();
    out.set_id(lease.id);
    out.set_policy_version(version_);
    out.set_task_id(request.task.id);
    out.set_seed(request.seed);
    out.mutable_prompt_ids()->Add(request.prompt_ids.begin(), request.prompt_ids.end());
    out.set_sample_begin(lease.sample_begin);
    out.set_sample_count(lease.sample_count);
    ToProto(request.sampling, *out.mutable_sampling());
    workers_.at(worker).stream->Send(std::move(message));
  }
}

absl::Status Server::CheckSomebodyIsThere() {
  if (!workers_.empty()) {
    without_worker_since_ = std::nullopt;
    return absl::OkStatus();
  }
  const absl::Time now = clock_.Now();
  if (!without_worker_since_.has_value()) without_worker_since_ = now;
  if (now - *without_worker_since_ <= options_.no_worker_timeout) return absl::OkStatus();
  return Unavailable("no rollout worker for {}; start one with the learner's address, port {}",
                     absl::FormatDuration(options_.no_worker_timeout), port_);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RolloutServer>> StartRolloutServer(
    const Weights& weights, const std::string& fingerprint, const RolloutServerOptions& options) {
  auto server = std::make_unique<Server>(weights, fingerprint, options);
  PONDER_RETURN_IF_ERROR(server->Start());
  return server;
}

}  // namespace ponder
