#include <absl/base/thread_annotations.h>
#include <absl/strings/match.h>
#include <absl/synchronization/mutex.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "ponder/v1/rollout.grpc.pb.h"
#include "rollout/completion_check.h"
#include "rollout/group_assembly.h"
#include "rollout/lease_book.h"
#include "rollout/service/convert.h"
#include "rollout/service/model_fingerprint.h"
#include "rollout/service/rollout_service.h"
#include "rollout/service/weight_call.h"
#include "rollout/service/weight_stream.h"
#include "rollout/service/worker_stream.h"

namespace ponder {
namespace {

using WorkerId = LeaseBook::WorkerId;

// How long Generate sleeps at most before it looks at the clock and at `cancelled` again.
constexpr absl::Duration kLookAround = absl::Milliseconds(20);
constexpr absl::Duration kGoodbyeLimit = absl::Seconds(2);

class Server : public RolloutServer, private WorkerStream::Owner {
 public:
  Server(const Weights& weights, std::string fingerprint, const RolloutServerOptions& options)
      : weights_(weights),
        fingerprint_(std::move(fingerprint)),
        model_fingerprint_(ModelFingerprint(weights)),
        options_(options),
        clock_(options.clock == nullptr ? RealClock() : *options.clock),
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
  int64_t Workers() const override {
    absl::MutexLock lock(&mutex_);
    return std::ssize(workers_);
  }

  absl::Status PublishWeights(int64_t version) override {
    {
      absl::MutexLock lock(&mutex_);
      snapshot_ = nullptr;  // two copies only while an old one is being fetched
    }
    std::shared_ptr<const WeightSnapshot> snapshot = TakeSnapshot(weights_, version);
    absl::MutexLock lock(&mutex_);
    snapshot_ = std::move(snapshot);
    for (auto& [id, worker] : workers_) Announce(worker);
    return absl::OkStatus();
  }

  absl::StatusOr<GenerateStats> Generate(
      const std::vector<GroupRequest>& requests, int64_t version,
      const std::function<void(size_t index, Group group)>& on_group,
      const std::function<void(int64_t done, int64_t total)>& on_progress,
      const std::function<bool()>& cancelled) override;

 private:
  struct Worker {
    std::string name;
    std::string fingerprint;
    int64_t capacity = 0;
    absl::Time last_heard;
    std::shared_ptr<WorkerStream> stream;
  };

  // What happened since Generate looked last, in order. A worker that left has neither result nor
  // capacity.
  struct Event {
    WorkerId worker = 0;
    int64_t joined_with_capacity = 0;
    std::optional<v1::LeaseResult> result;
  };

  // One call of Generate.
  struct Round {
    const std::vector<GroupRequest>& requests;
    const int64_t version;
    const std::function<void(int64_t done, int64_t total)>& on_progress;
    GroupAssembly assembly;
    LeaseBook book;
    std::set<WorkerId> contributors;
    std::optional<absl::Time> without_worker_since;
    GenerateStats stats;
  };

  class Service : public v1::Rollout::CallbackService {
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

    grpc::ServerWriteReactor<v1::WeightChunk>* FetchWeights(
        grpc::CallbackServerContext*, const v1::FetchWeightsRequest* request) override {
      std::shared_ptr<const WeightSnapshot> snapshot;
      {
        absl::MutexLock lock(&server_.mutex_);
        snapshot = server_.snapshot_;
      }
      return AnswerFetchWeights(std::move(snapshot), request->policy_version());
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
    absl::MutexLock lock(&mutex_);
    const auto worker = Find(stream.get());
    if (worker == workers_.end()) {
      // Unless it was put out while this message was on its way, its first message was no hello.
      stream->Close(ToGrpc(InvalidArgument("expected a hello as a worker's first message")));
      return;
    }
    worker->second.last_heard = clock_.Now();
    if (!message.has_result()) return;
    if (generating_) {
      events_.push_back({.worker = worker->first, .result = std::move(*message.mutable_result())});
    } else {
      ++ignored_results_;
    }
  }

  void OnEnd(const std::shared_ptr<WorkerStream>& stream) override {
    std::string name;
    {
      absl::MutexLock lock(&mutex_);
      const auto worker = Find(stream.get());
      if (worker == workers_.end()) return;
      name = worker->second.name;
      if (generating_) events_.push_back({.worker = worker->first});
      workers_.erase(worker);
      if (ending_) return;
    }
    Say(fmt::format("rollout worker {} left", name));
  }

  void OnGone() override {
    absl::MutexLock lock(&mutex_);
    --streams_;
  }

  void Admit(const std::shared_ptr<WorkerStream>& stream, const v1::WorkerHello& hello) {
    const std::string name = fmt::format("{} ({})", hello.name(), stream->Peer());
    absl::Status refusal;
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
      if (generating_) events_.push_back({.worker = id, .joined_with_capacity = worker.capacity});
    }
    Say(fmt::format(
        "rollout worker {} joined{}", name,
        hello.fingerprint() == fingerprint_ ? "" : "; its numerics differ from the learner's"));
  }

  // ---- from Generate's thread ----

  absl::Status Run(Round& round, const std::function<bool()>& cancelled);
  absl::Status TakeResult(Round& round, WorkerId worker, const v1::LeaseResult& result);
  void PutOut(Round& round, WorkerId worker, const absl::Status& reason);
  void PutOutSilentWorkers(Round& round);
  void SendLeases(Round& round);
  absl::Status CheckSomebodyIsThere(Round& round);

  // ---- common ----

  std::map<WorkerId, Worker>::iterator Find(const WorkerStream* stream)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return std::find_if(workers_.begin(), workers_.end(),
                        [&](const auto& entry) { return entry.second.stream.get() == stream; });
  }

  void Announce(const Worker& worker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    v1::LearnerMessage message;
    message.mutable_weights()->set_policy_version(snapshot_->version);
    worker.stream->Send(std::move(message));
  }

  bool NoStreams() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return streams_ == 0; }
  bool HasEvents() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !events_.empty(); }

  void Say(const std::string& event) const {
    if (options_.on_event) options_.on_event(event);
  }

  const Weights& weights_;
  const std::string fingerprint_;
  const std::string model_fingerprint_;
  const RolloutServerOptions options_;
  Clock& clock_;
  int port_ = 0;
  uint64_t next_lease_ = 1;  // of the generating thread

  mutable absl::Mutex mutex_;
  std::shared_ptr<const WeightSnapshot> snapshot_ ABSL_GUARDED_BY(mutex_);
  std::map<WorkerId, Worker> workers_ ABSL_GUARDED_BY(mutex_);
  WorkerId next_worker_ ABSL_GUARDED_BY(mutex_) = 1;
  bool generating_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Event> events_ ABSL_GUARDED_BY(mutex_);
  int64_t ignored_results_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t streams_ ABSL_GUARDED_BY(mutex_) = 0;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;

  Service service_;
  std::unique_ptr<grpc::Server> server_;
};

absl::StatusOr<GenerateStats> Server::Generate(
    const std::vector<GroupRequest>& requests, int64_t version,
    const std::function<void(size_t index, Group group)>& on_group,
    const std::function<void(int64_t done, int64_t total)>& on_progress,
    const std::function<bool()>& cancelled) {
  const absl::Time start = clock_.Now();
  Round round{.requests = requests,
              .version = version,
              .on_progress = on_progress,
              .assembly = GroupAssembly(requests, on_group),
              .book = LeaseBook(requests, next_lease_)};
  next_lease_ = round.book.EndLeaseId();
  {
    absl::MutexLock lock(&mutex_);
    if (snapshot_->version != version) {
      return FailedPrecondition(
          "groups of policy version {} were asked for, but version {} is published", version,
          snapshot_->version);
    }
    generating_ = true;
    for (const auto& [id, worker] : workers_) round.book.Join(id, worker.capacity);
  }
  const absl::Status status = Run(round, cancelled);
  {
    absl::MutexLock lock(&mutex_);
    generating_ = false;
    for (const Event& event : events_) ignored_results_ += event.result.has_value();
    events_.clear();
    // Whatever workers still have in hand is of no use.
    for (auto& [id, worker] : workers_) {
      const std::vector<uint64_t> leases = round.book.HeldBy(id);
      if (leases.empty()) continue;
      v1::LearnerMessage message;
      message.mutable_withdraw()->mutable_lease_ids()->Add(leases.begin(), leases.end());
      worker.stream->Send(std::move(message));
    }
    round.stats.ignored_results = std::exchange(ignored_results_, 0);
  }
  PONDER_RETURN_IF_ERROR(status);
  GenerateStats stats = round.stats;
  stats.completion_tokens = round.assembly.Stats().completion_tokens;
  stats.prompt_tokens = round.assembly.Stats().prompt_tokens;
  stats.seconds = absl::ToDoubleSeconds(clock_.Now() - start);
  stats.workers = std::ssize(round.contributors);
  stats.reissued_leases = round.book.Reissued();
  return stats;
}

absl::Status Server::Run(Round& round, const std::function<bool()>& cancelled) {
  SendLeases(round);
  while (!round.assembly.Whole()) {
    if (cancelled && cancelled()) {
      return absl::CancelledError(fmt::format("generation was cancelled after {} of {} completions",
                                              round.assembly.Done(), round.assembly.Total()));
    }
    std::vector<Event> events;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.AwaitWithTimeout(absl::Condition(this, &Server::HasEvents), kLookAround);
      events = std::exchange(events_, {});
    }
    for (const Event& event : events) {
      if (event.result.has_value()) {
        PONDER_RETURN_IF_ERROR(TakeResult(round, event.worker, *event.result));
      } else if (event.joined_with_capacity > 0) {
        round.book.Join(event.worker, event.joined_with_capacity);
      } else {
        round.book.Leave(event.worker);
      }
    }
    PutOutSilentWorkers(round);
    SendLeases(round);
    PONDER_RETURN_IF_ERROR(CheckSomebodyIsThere(round));
  }
  return absl::OkStatus();
}

absl::Status Server::TakeResult(Round& round, WorkerId worker, const v1::LeaseResult& result) {
  const RolloutLease* lease = round.book.Find(worker, result.lease_id());
  if (lease == nullptr) {
    absl::MutexLock lock(&mutex_);
    ++ignored_results_;
    return absl::OkStatus();
  }
  if (!result.error().empty()) return round.book.Fail(worker, result.lease_id(), result.error());
  std::vector<Completion> completions;
  for (const v1::Completion& message : result.completions())
    completions.push_back(FromProto(message));
  const absl::Status checked =
      CheckCompletions(completions, lease->sample_begin, lease->sample_count,
                       {.vocabulary = weights_.DrawableTokens(),
                        .max_new_tokens = round.requests[lease->request].sampling.max_new_tokens,
                        .version = round.version});
  if (!checked.ok()) {
    PutOut(round, worker, Annotate(checked, fmt::format("lease {}", lease->id)));
    return absl::OkStatus();
  }
  const size_t request = lease->request;
  round.book.Complete(worker, result.lease_id());
  round.contributors.insert(worker);
  {
    absl::MutexLock lock(&mutex_);
    const auto place = workers_.find(worker);
    round.stats.fingerprints_differ |=
        place != workers_.end() && place->second.fingerprint != fingerprint_;
  }
  for (Completion& completion : completions) round.assembly.Add(request, std::move(completion));
  if (round.on_progress) round.on_progress(round.assembly.Done(), round.assembly.Total());
  return absl::OkStatus();
}

void Server::PutOut(Round& round, WorkerId worker, const absl::Status& reason) {
  round.book.Leave(worker);
  std::string name;
  {
    absl::MutexLock lock(&mutex_);
    const auto place = workers_.find(worker);
    if (place == workers_.end()) return;
    name = place->second.name;
    place->second.stream->Close(ToGrpc(reason));
    workers_.erase(place);
  }
  Say(fmt::format("rollout worker {} put out: {}", name, reason.message()));
}

void Server::PutOutSilentWorkers(Round& round) {
  std::vector<std::string> names;
  {
    absl::MutexLock lock(&mutex_);
    const absl::Time now = clock_.Now();
    for (auto place = workers_.begin(); place != workers_.end();) {
      const auto& [id, worker] = *place;
      if (now - worker.last_heard <= options_.heartbeat_timeout) {
        ++place;
        continue;
      }
      names.push_back(worker.name);
      round.book.Leave(id);
      worker.stream->Cancel();
      place = workers_.erase(place);
    }
  }
  for (const std::string& name : names) {
    Say(fmt::format("rollout worker {} was silent for more than {} and has lost its leases", name,
                    absl::FormatDuration(options_.heartbeat_timeout)));
  }
}

void Server::SendLeases(Round& round) {
  absl::MutexLock lock(&mutex_);
  for (const auto& [worker, lease] : round.book.Assign()) {
    const auto place = workers_.find(worker);
    if (place == workers_.end()) continue;  // its end is among the events to come
    const GroupRequest& request = round.requests[lease.request];
    v1::LearnerMessage message;
    v1::Lease& out = *message.mutable_lease();
    out.set_id(lease.id);
    out.set_policy_version(round.version);
    out.set_task_id(request.task.id);
    out.set_seed(request.seed);
    out.mutable_prompt_ids()->Add(request.prompt_ids.begin(), request.prompt_ids.end());
    out.set_sample_begin(lease.sample_begin);
    out.set_sample_count(lease.sample_count);
    ToProto(request.sampling, *out.mutable_sampling());
    place->second.stream->Send(std::move(message));
  }
}

absl::Status Server::CheckSomebodyIsThere(Round& round) {
  absl::MutexLock lock(&mutex_);
  if (!workers_.empty()) {
    round.without_worker_since = std::nullopt;
    return absl::OkStatus();
  }
  const absl::Time now = clock_.Now();
  if (!round.without_worker_since.has_value()) round.without_worker_since = now;
  if (now - *round.without_worker_since <= options_.no_worker_timeout) return absl::OkStatus();
  return Unavailable(
      "no rollout worker for {}, with {} of {} completions done; start one with the learner's "
      "address, port {}",
      absl::FormatDuration(options_.no_worker_timeout), round.assembly.Done(),
      round.assembly.Total(), port_);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RolloutServer>> StartRolloutServer(
    const Weights& weights, const std::string& fingerprint, const RolloutServerOptions& options) {
  auto server = std::make_unique<Server>(weights, fingerprint, options);
  PONDER_RETURN_IF_ERROR(server->Start());
  return server;
}

}  // namespace ponder
