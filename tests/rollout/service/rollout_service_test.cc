// Learner and workers in one process, over loopback.
#include "rollout/service/rollout_service.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <xxhash.h>

#include <atomic>
#include <future>
#include <map>
#include <thread>

#include "ponder/v1/rollout.grpc.pb.h"
#include "rollout/fake_engine.h"
#include "rollout/service/convert.h"
#include "rollout/service/model_fingerprint.h"
#include "tests/rollout/tiny_model.h"

namespace ponder {
namespace {

using testing::HasSubstr;

constexpr absl::Duration kLimit = absl::Seconds(30);  // of every wait

TinyModel MakeModel(uint64_t seed = 1) { return TinyModel::Make(kernels::DType::kBF16, 1, seed); }

std::vector<GroupRequest> MakeGroups(int64_t count, int64_t completions) {
  std::vector<GroupRequest> groups;
  for (int64_t i = 0; i < count; ++i) {
    RolloutRequest request = MakeRequest(i + 1, 10 + 7 * i, completions, 20);
    GroupRequest group;
    group.task.id = request.task_id;
    group.prompt_ids = request.prompt_ids;
    group.seed = request.seed;
    group.completions = completions;
    group.sampling = request.sampling;
    groups.push_back(group);
  }
  return groups;
}

struct Generated {
  absl::StatusOr<GenerateStats> stats;
  std::map<size_t, Group> groups;
};

Generated Generate(GroupSource& source, const std::vector<GroupRequest>& requests, int64_t version,
                   const std::function<bool()>& cancelled = nullptr) {
  Generated generated;
  generated.stats = source.Generate(
      requests, version,
      [&](size_t index, Group group) { generated.groups.emplace(index, std::move(group)); },
      nullptr, cancelled);
  return generated;
}

// What the engine of this process gives.
std::map<size_t, Group> GenerateHere(const TinyModel& model,
                                     const std::vector<GroupRequest>& requests) {
  const auto engine =
      model.MakeEngine({.max_sequences = 16, .max_step_tokens = 200, .cache_tokens = 8000});
  return Generate(*CreateLocalGroupSource(*engine), requests, model.weights->Version()).groups;
}

// What workers say is remembered, and can be waited for.
class Events {
 public:
  void Add(const std::string& event) {
    absl::MutexLock lock(&mutex_);
    events_.push_back(event);
  }
  // Waits until `count` events hold `text`.
  bool Await(const std::string& text, int64_t count = 1) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&] {
      return std::ranges::count_if(events_, [&](const std::string& event) {
               return event.find(text) != std::string::npos;
             }) >= count;
    };
    return mutex_.AwaitWithTimeout(absl::Condition(&there), kLimit);
  }

 private:
  absl::Mutex mutex_;
  std::vector<std::string> events_;
};

struct Learner {
  explicit Learner(RolloutServerOptions options = {}) {
    options.on_event = [this](const std::string& event) { events.Add(event); };
    options.on_gone = [this](const WorkerGone& worker) {
      absl::MutexLock lock(&mutex);
      gone.push_back(worker);
    };
    server = StartRolloutServer(*model.weights, "learner", options).value();
  }
  std::string Address() const { return fmt::format("127.0.0.1:{}", server->Port()); }

  // The only worker that is gone; waits for it.
  WorkerGone AwaitGone() {
    absl::MutexLock lock(&mutex);
    const auto there = [&] { return !gone.empty(); };
    EXPECT_TRUE(mutex.AwaitWithTimeout(absl::Condition(&there), kLimit));
    EXPECT_EQ(gone.size(), 1u);
    return gone.empty() ? WorkerGone() : gone.front();
  }

  TinyModel model = MakeModel();
  Events events;
  absl::Mutex mutex;
  std::vector<WorkerGone> gone;  // under the mutex
  std::unique_ptr<RolloutServer> server;
};

// A worker in a thread of its own; its weights are not the learner's until it has fetched them.
class WorkerThread {
 public:
  explicit WorkerThread(const std::string& address, std::unique_ptr<RolloutEngine> engine = nullptr,
                        absl::Duration reconnect_limit = kLimit, bool share_memory = true)
      : engine_(engine != nullptr
                    ? std::move(engine)
                    : model_.MakeEngine(
                          {.max_sequences = 3, .max_step_tokens = 40, .cache_tokens = 600})) {
    const RolloutWorkerOptions options{.learner_address = address,
                                       .name = "worker",
                                       .share_memory = share_memory,
                                       .reconnect_limit = reconnect_limit};
    status_ = std::async(std::launch::async, [this, options] {
      return RunRolloutWorker(options, *model_.weights, *engine_,
                              [this] { return cancelled_.load(); });
    });
  }
  ~WorkerThread() { cancelled_ = true; }

  void Cancel() { cancelled_ = true; }
  absl::Status Join() {
    if (status_.wait_for(absl::ToChronoSeconds(kLimit)) != std::future_status::ready) {
      return absl::DeadlineExceededError("the worker goes on and on");
    }
    return status_.get();
  }
  const Weights& GetWeights() const { return *model_.weights; }
  const RolloutEngine& Engine() const { return *engine_; }

 private:
  TinyModel model_ = MakeModel(99);
  std::unique_ptr<RolloutEngine> engine_;
  std::atomic<bool> cancelled_ = false;
  std::future<absl::Status> status_;
};

// A worker's end of the stream in a test's own hands.
class RawWorker {
 public:
  explicit RawWorker(const Learner& learner, const std::string& name = "raw")
      : stub_(v1::Rollout::NewStub(
            grpc::CreateChannel(learner.Address(), grpc::InsecureChannelCredentials()))) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + kLimit));
    stream_ = stub_->Work(&context_);
    v1::WorkerMessage message;
    message.mutable_hello()->set_name(name);
    message.mutable_hello()->set_fingerprint("raw");
    message.mutable_hello()->set_max_sequences(64);
    message.mutable_hello()->set_model_fingerprint(ModelFingerprint(*learner.model.weights));
    stream_->Write(message);
  }

  // The next lease; an empty one where the stream has ended.
  v1::Lease AwaitLease() {
    v1::LearnerMessage message;
    while (stream_->Read(&message)) {
      if (message.has_lease()) return message.lease();
    }
    return {};
  }
  void Send(const v1::LeaseResult& result) {
    v1::WorkerMessage message;
    *message.mutable_result() = result;
    stream_->Write(message);
  }
  void SayGoodbye(const std::string& reason) {
    v1::WorkerMessage message;
    message.mutable_goodbye()->set_reason(reason);
    stream_->Write(message);
  }
  void Break() { context_.TryCancel(); }
  absl::Status AwaitEnd() {
    v1::LearnerMessage message;
    while (stream_->Read(&message)) {
    }
    return FromGrpc(stream_->Finish());
  }

 private:
  std::unique_ptr<v1::Rollout::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::WorkerMessage, v1::LearnerMessage>> stream_;
};

v1::LeaseResult GoodResult(const v1::Lease& lease) {
  v1::LeaseResult result;
  result.set_lease_id(lease.id());
  for (int64_t i = 0; i < lease.sample_count(); ++i) {
    ToProto(Completion{.sample_index = lease.sample_begin() + i,
                       .token_ids = {1, 2},
                       .sampled_mask = {1, 1},
                       .logprobs = {-1, -1},
                       .entropies = {1, 1},
                       .versions = {{0, lease.policy_version()}},
                       .finish = FinishReason::kStop},
            *result.add_completions());
  }
  return result;
}

// One of them by shared memory, the other over the network.
TEST(RolloutService, TwoWorkersGiveWhatTheEngineOfTheLearnerGives) {
  Learner learner;
  WorkerThread first(learner.Address()),
      second(learner.Address(), nullptr, kLimit, /*share_memory=*/false);
  ASSERT_TRUE(learner.events.Await("joined", 2));
  ASSERT_TRUE(learner.events.Await("by shared memory"));
  ASSERT_TRUE(learner.events.Await("by gRPC"));
  for (int64_t version = 0; version < 3; ++version) {
    if (version > 0) {
      learner.model.Randomize(10 + version, version);
      ASSERT_TRUE(learner.server->PublishWeights(version).ok());
    }
    const std::vector<GroupRequest> requests = MakeGroups(6, 9);
    const Generated generated = Generate(*learner.server, requests, version);
    ASSERT_TRUE(generated.stats.ok()) << generated.stats.status();
    EXPECT_EQ(generated.groups, GenerateHere(learner.model, requests));
    EXPECT_EQ(generated.stats->workers, 2);
    EXPECT_EQ(generated.stats->reissued_leases, 0);
    EXPECT_EQ(generated.stats->ignored_results, 0);
    EXPECT_TRUE(generated.stats->fingerprints_differ);  // the learner calls its own "learner"
  }
  EXPECT_EQ(std::ssize(learner.server->Workers()), 2);
  learner.server.reset();
  EXPECT_TRUE(first.Join().ok());
  EXPECT_TRUE(second.Join().ok());
  EXPECT_EQ(ArenaOf(first.GetWeights()), ArenaOf(*learner.model.weights));
  EXPECT_EQ(ArenaOf(second.GetWeights()), ArenaOf(*learner.model.weights));
}

TEST(RolloutService, ALostWorkersLeasesAreDoneByAnother) {
  Learner learner;
  const std::vector<GroupRequest> requests = MakeGroups(4, 8);
  RawWorker lost(learner);
  ASSERT_TRUE(learner.events.Await("joined"));
  auto generated =
      std::async(std::launch::async, [&] { return Generate(*learner.server, requests, 0); });
  for (int i = 0; i < 4; ++i) ASSERT_NE(lost.AwaitLease().id(), 0u);
  WorkerThread other(learner.Address());
  ASSERT_TRUE(learner.events.Await("joined", 2));
  lost.Break();
  const Generated result = generated.get();
  ASSERT_TRUE(result.stats.ok()) << result.stats.status();
  EXPECT_EQ(result.stats->reissued_leases, 4);
  EXPECT_EQ(result.stats->workers, 1);
  EXPECT_EQ(result.groups, GenerateHere(learner.model, requests));
  EXPECT_TRUE(learner.events.Await("was lost"));
  const WorkerGone gone = learner.AwaitGone();
  EXPECT_FALSE(gone.in_order);
  EXPECT_EQ(gone.words, "its connection ended without a goodbye");
  EXPECT_TRUE(gone.last.name.starts_with("raw (")) << gone.last.name;
  EXPECT_EQ(gone.last.running, 32) << "what it had in hand";
  EXPECT_EQ(learner.server->Workers().at(0).done, 32);
}

TEST(RolloutService, ASilentWorkerLosesItsLeases) {
  FakeClock clock;
  Learner learner({.heartbeat_timeout = absl::Seconds(20), .clock = &clock});
  const std::vector<GroupRequest> requests = MakeGroups(2, 8);
  RawWorker silent(learner);
  ASSERT_TRUE(learner.events.Await("joined"));
  auto generated =
      std::async(std::launch::async, [&] { return Generate(*learner.server, requests, 0); });
  ASSERT_NE(silent.AwaitLease().id(), 0u);
  clock.Advance(absl::Seconds(21));
  ASSERT_TRUE(learner.events.Await("silent for more than 20s"));
  EXPECT_EQ(silent.AwaitEnd().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(learner.AwaitGone().words, "silent for more than 20s");
  WorkerThread other(learner.Address());
  const Generated result = generated.get();
  ASSERT_TRUE(result.stats.ok()) << result.stats.status();
  EXPECT_EQ(result.groups, GenerateHere(learner.model, requests));
}

TEST(RolloutService, AWorkerThatSendsNonsenseIsPutOut) {
  const std::pair<std::string, std::function<void(v1::LeaseResult&)>> kinds[] = {
      {"expected 8 completions, found 7", [](auto& r) { r.mutable_completions()->RemoveLast(); }},
      {"version", [](auto& r) { r.mutable_completions(3)->mutable_versions(0)->set_version(5); }},
      {"outside the vocabulary of 257",
       [](auto& r) { r.mutable_completions(0)->set_token_ids(1, 257); }},
      {"3 log-probs", [](auto& r) { r.mutable_completions(0)->add_logprobs(-1); }},
      {"found sample 0", [](auto& r) { r.mutable_completions(5)->set_sample_index(0); }},
      {"finish reason",
       [](auto& r) { r.mutable_completions(5)->set_finish(v1::FINISH_REASON_CANCELLED); }},
  };
  for (const auto& [message, spoil] : kinds) {
    Learner learner;
    const std::vector<GroupRequest> requests = MakeGroups(1, 8);
    RawWorker worker(learner);
    ASSERT_TRUE(learner.events.Await("joined"));
    auto generated =
        std::async(std::launch::async, [&] { return Generate(*learner.server, requests, 0); });
    v1::LeaseResult result = GoodResult(worker.AwaitLease());
    spoil(result);
    worker.Send(result);
    const absl::Status end = worker.AwaitEnd();
    EXPECT_EQ(end.code(), absl::StatusCode::kInvalidArgument) << end;
    EXPECT_THAT(std::string(end.message()), HasSubstr(message));
    EXPECT_TRUE(learner.events.Await("put out"));
    EXPECT_THAT(learner.AwaitGone().words, HasSubstr(message));
    WorkerThread other(learner.Address());
    EXPECT_EQ(generated.get().groups, GenerateHere(learner.model, requests));
  }
}

TEST(RolloutService, RepeatedAndLateResultsAreIgnoredAndCounted) {
  Learner learner;
  const std::vector<GroupRequest> requests = MakeGroups(2, 8);
  RawWorker worker(learner);
  ASSERT_TRUE(learner.events.Await("joined"));
  v1::LeaseResult late;
  for (int round = 0; round < 2; ++round) {
    auto generated =
        std::async(std::launch::async, [&] { return Generate(*learner.server, requests, 0); });
    const v1::LeaseResult first = GoodResult(worker.AwaitLease()),
                          second = GoodResult(worker.AwaitLease());
    if (round == 1) worker.Send(late);
    worker.Send(first);
    worker.Send(first);
    worker.Send(second);
    const Generated result = generated.get();
    ASSERT_TRUE(result.stats.ok()) << result.stats.status();
    EXPECT_EQ(result.groups.size(), 2u);
    EXPECT_EQ(result.stats->ignored_results, round == 0 ? 1 : 2);
    EXPECT_EQ(result.stats->completion_tokens, 32);
    late = second;
  }
}

TEST(RolloutService, AFirstMessageThatIsNoHelloEndsTheStream) {
  Learner learner;
  const auto stub = v1::Rollout::NewStub(
      grpc::CreateChannel(learner.Address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kLimit));
  const auto stream = stub->Work(&context);
  v1::WorkerMessage message;
  message.mutable_heartbeat();
  stream->Write(message);
  v1::LearnerMessage received;
  EXPECT_FALSE(stream->Read(&received));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(RolloutService, AWorkerWithAnotherModelIsRefused) {
  Learner learner;
  TinyModel other = TinyModel::Make(kernels::DType::kF32, 1);
  const auto engine = CreateFakeEngine({});
  const absl::Status status = RunRolloutWorker(
      {.learner_address = learner.Address(), .name = "odd"}, *other.weights, *engine, nullptr);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("start the worker with the model of the run"));
  EXPECT_TRUE(learner.events.Await("refused"));
  EXPECT_EQ(std::ssize(learner.server->Workers()), 0);
}

TEST(RolloutService, APortInUseIsAnError) {
  Learner learner;
  const auto second =
      StartRolloutServer(*learner.model.weights, "x", {.address = learner.Address()});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(learner.Address()));
}

TEST(RolloutService, BindsToLoopbackOnly) {
  const TinyModel model = MakeModel();
  const auto server = StartRolloutServer(*model.weights, "x", {.address = "0.0.0.0:0"});
  EXPECT_EQ(server.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(RolloutService, WaitsForTheFirstWorkerAndThenWorks) {
  Learner learner;
  const std::vector<GroupRequest> requests = MakeGroups(2, 3);
  auto generated =
      std::async(std::launch::async, [&] { return Generate(*learner.server, requests, 0); });
  WorkerThread worker(learner.Address());
  EXPECT_EQ(generated.get().groups, GenerateHere(learner.model, requests));
}

TEST(RolloutService, GivesUpWithoutWorkersWhenTheTimeIsOver) {
  FakeClock clock;
  Learner learner({.no_worker_timeout = absl::Minutes(10), .clock = &clock});
  auto generated = std::async(std::launch::async,
                              [&] { return Generate(*learner.server, MakeGroups(1, 1), 0); });
  const absl::Time begin = absl::Now();
  while (generated.wait_for(std::chrono::milliseconds(5)) != std::future_status::ready) {
    ASSERT_LT(absl::Now() - begin, kLimit);
    clock.Advance(absl::Minutes(1));
  }
  const absl::Status status = generated.get().stats.status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no rollout worker for 10m"));
}

TEST(RolloutService, ServesOnlyThePublishedVersion) {
  Learner learner;
  EXPECT_EQ(Generate(*learner.server, MakeGroups(1, 1), 5).stats.status().code(),
            absl::StatusCode::kFailedPrecondition);
  const auto stub = v1::Rollout::NewStub(
      grpc::CreateChannel(learner.Address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kLimit));
  v1::FetchWeightsRequest request;
  request.set_policy_version(5);
  const auto reader = stub->FetchWeights(&context, request);
  v1::WeightChunk chunk;
  EXPECT_FALSE(reader->Read(&chunk));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST(RolloutService, ACancelledRoundLeavesTheWorkersFreeForTheNext) {
  Learner learner;
  WorkerThread worker(learner.Address());
  ASSERT_TRUE(learner.events.Await("joined"));
  std::vector<GroupRequest> requests = MakeGroups(3, 8);
  // Asked for the first time when the leases are out and nothing has come back.
  EXPECT_EQ(Generate(*learner.server, requests, 0, [] { return true; }).stats.status().code(),
            absl::StatusCode::kCancelled);
  requests = MakeGroups(2, 8);
  const Generated next = Generate(*learner.server, requests, 0);
  ASSERT_TRUE(next.stats.ok()) << next.stats.status();
  EXPECT_EQ(next.groups, GenerateHere(learner.model, requests));
}

TEST(RolloutService, WhatNoWorkerCanDoIsAnErrorThatSaysWhy) {
  Learner learner;
  std::vector<GroupRequest> requests = MakeGroups(1, 1);
  requests[0].sampling.max_new_tokens = 5000;  // more than the model has positions
  WorkerThread worker(learner.Address());
  const absl::Status status = Generate(*learner.server, requests, 0).stats.status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("512 positions"));
}

TEST(RolloutService, EqualFingerprintsAreSeenAsEqual) {
  Learner learner;
  FakeEngineOptions options{
      .script = [](const RolloutRequest&, int64_t,
                   int64_t) { return Completion{.token_ids = {1}, .logprobs = {-1}}; },
      .fingerprint = "learner"};
  WorkerThread worker(learner.Address(), CreateFakeEngine(options));
  const Generated generated = Generate(*learner.server, MakeGroups(1, 2), 0);
  ASSERT_TRUE(generated.stats.ok()) << generated.stats.status();
  EXPECT_FALSE(generated.stats->fingerprints_differ);
}

// Works until `batch` is whole, within the limit of every wait.
void WorkThrough(GroupSource& source, GroupSource::BatchId batch) {
  const absl::Time begin = absl::Now();
  while (!source.Progress(batch).Whole()) {
    ASSERT_LT(absl::Now() - begin, kLimit);
    const absl::StatusOr<bool> worked = source.Work();
    ASSERT_TRUE(worked.ok()) << worked.status();
  }
}

TEST(RolloutService, ALaterBatchIsDoneWhileAnEarlierOneWaitsForItsLastResult) {
  Learner learner;
  RawWorker worker(learner);
  ASSERT_TRUE(learner.events.Await("joined"));
  const auto slow = learner.server->Begin({.requests = MakeGroups(2, 8)});
  const auto next = learner.server->Begin({.requests = MakeGroups(1, 8)});
  ASSERT_TRUE(slow.ok() && next.ok());
  const v1::Lease first = worker.AwaitLease(), second = worker.AwaitLease(),
                  third = worker.AwaitLease();
  worker.Send(GoodResult(first));
  worker.Send(GoodResult(third));
  WorkThrough(*learner.server, *next);
  EXPECT_EQ(learner.server->Progress(*slow).done, 8);
  ASSERT_TRUE(learner.server->End(*next).ok());
  worker.Send(GoodResult(second));
  WorkThrough(*learner.server, *slow);
  EXPECT_EQ(learner.server->End(*slow)->completion_tokens, 32);
}

TEST(RolloutService, ResultsAreTakenAndLeasesGivenOutWhileNobodyCallsWork) {
  Learner learner;
  RawWorker worker(learner);
  ASSERT_TRUE(learner.events.Await("joined"));
  // More than the worker takes at once: 64 places and one lease.
  const auto batch = learner.server->Begin({.requests = MakeGroups(12, 8)});
  ASSERT_TRUE(batch.ok());
  for (int i = 0; i < 12; ++i) {
    const v1::Lease lease = worker.AwaitLease();
    ASSERT_NE(lease.id(), 0u);
    worker.Send(GoodResult(lease));
  }
  WorkThrough(*learner.server, *batch);
}

TEST(RolloutService, WhatIsUnderWayGoesOnWithWeightsPublishedMeanwhile) {
  Learner learner;
  RawWorker worker(learner);
  ASSERT_TRUE(learner.events.Await("joined"));
  std::vector<Group> groups;
  const auto batch =
      learner.server->Begin({.requests = MakeGroups(1, 8), .on_group = [&](size_t, Group group) {
                               groups.push_back(std::move(group));
                             }});
  ASSERT_TRUE(batch.ok());
  const v1::Lease lease = worker.AwaitLease();
  ASSERT_TRUE(learner.server->PublishWeights(1).ok());
  v1::LeaseResult result = GoodResult(lease);
  v1::VersionSpan* span = result.mutable_completions(2)->add_versions();
  span->set_begin(1);
  span->set_version(1);
  worker.Send(result);
  WorkThrough(*learner.server, *batch);
  ASSERT_TRUE(learner.server->End(*batch).ok());
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_EQ(groups[0].completions[2].versions, (std::vector<VersionSpan>{{0, 0}, {1, 1}}));
}

TEST(RolloutService, TokensOlderThanTheirBatchAreRefused) {
  Learner learner;
  ASSERT_TRUE(learner.server->PublishWeights(1).ok());
  RawWorker worker(learner);
  ASSERT_TRUE(learner.events.Await("joined"));
  const auto batch = learner.server->Begin({.requests = MakeGroups(1, 8), .version = 1});
  ASSERT_TRUE(batch.ok());
  v1::LeaseResult result = GoodResult(worker.AwaitLease());
  result.mutable_completions(3)->mutable_versions(0)->set_version(0);
  worker.Send(result);
  EXPECT_THAT(std::string(worker.AwaitEnd().message()),
              HasSubstr("version 1 to 1, found version 0"));
  EXPECT_EQ(learner.server->Progress(*batch).done, 0);
}

// An engine that stops after its first completion until it is given other weights.
class PausingEngine : public RolloutEngine {
 public:
  explicit PausingEngine(std::unique_ptr<RolloutEngine> engine) : engine_(std::move(engine)) {}

  EngineCapabilities Capabilities() const override { return engine_->Capabilities(); }
  absl::Status Submit(RolloutRequest request) override { return engine_->Submit(request); }
  void Cancel(uint64_t request_id) override { engine_->Cancel(request_id); }
  absl::StatusOr<bool> Step() override {
    if (version_ == 0 && std::exchange(has_stepped_, true)) return true;
    return engine_->Step();
  }
  std::vector<RolloutResult> Poll() override { return engine_->Poll(); }
  EngineLoad Load() const override { return engine_->Load(); }
  void WeightsChanged(int64_t version) override {
    version_ = version;
    engine_->WeightsChanged(version);
  }

 private:
  const std::unique_ptr<RolloutEngine> engine_;
  int64_t version_ = 0;
  bool has_stepped_ = false;
};

TEST(RolloutService, AWorkerSwapsWeightsUnderWayAndFinishesItsLeases) {
  Learner learner;
  std::atomic<bool> started = false;
  FakeEngineOptions options{.script =
                                [&](const RolloutRequest&, int64_t, int64_t) {
                                  started = true;
                                  return Completion{.token_ids = {1}, .logprobs = {-1}};
                                },
                            .fingerprint = "learner"};
  WorkerThread worker(learner.Address(),
                      std::make_unique<PausingEngine>(CreateFakeEngine(options)));
  std::vector<Group> groups;
  const auto batch =
      learner.server->Begin({.requests = MakeGroups(1, 4), .on_group = [&](size_t, Group group) {
                               groups.push_back(std::move(group));
                             }});
  ASSERT_TRUE(batch.ok());
  for (const absl::Time begin = absl::Now(); !started;) {
    ASSERT_LT(absl::Now() - begin, kLimit);
    ASSERT_TRUE(learner.server->Work().ok());
  }
  learner.model.Randomize(10, 1);
  ASSERT_TRUE(learner.server->PublishWeights(1).ok());
  WorkThrough(*learner.server, *batch);
  ASSERT_TRUE(learner.server->End(*batch).ok());
  ASSERT_EQ(groups.size(), 1u);
  for (int64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(groups[0].completions[i].versions, (std::vector<VersionSpan>{{0, i == 0 ? 0 : 1}}));
  }
}

TEST(RolloutService, AWorkerLeavesWhenItIsToldTo) {
  Learner learner;
  WorkerThread worker(learner.Address());
  ASSERT_TRUE(learner.events.Await("joined"));
  worker.Cancel();
  EXPECT_TRUE(worker.Join().ok());
  EXPECT_TRUE(learner.events.Await("left: it was stopped"));
  EXPECT_EQ(std::ssize(learner.server->Workers()), 0);
  EXPECT_TRUE(learner.AwaitGone().in_order);
  EXPECT_EQ(learner.AwaitGone().words, "it was stopped");
}

TEST(RolloutService, LittleIsKeptOfALongGoodbyeAndTheLeasesGoToOthers) {
  Learner learner;
  const std::vector<GroupRequest> requests = MakeGroups(1, 8);
  RawWorker worker(learner);
  ASSERT_TRUE(learner.events.Await("joined"));
  auto generated =
      std::async(std::launch::async, [&] { return Generate(*learner.server, requests, 0); });
  ASSERT_NE(worker.AwaitLease().id(), 0u);
  worker.SayGoodbye(std::string(1 << 20, 'x'));
  EXPECT_TRUE(worker.AwaitEnd().ok());
  EXPECT_EQ(learner.AwaitGone().words, std::string(512, 'x'));
  WorkerThread other(learner.Address());
  EXPECT_EQ(generated.get().stats->reissued_leases, 1);
}

TEST(RolloutService, AWorkerWithALongNameIsRefused) {
  Learner learner;
  RawWorker worker(learner, std::string(1000, 'x'));
  const absl::Status end = worker.AwaitEnd();
  EXPECT_EQ(end.code(), absl::StatusCode::kInvalidArgument) << end;
  EXPECT_TRUE(learner.events.Await("its hello is too long"));
}

TEST(RolloutService, AWorkerGivesUpWithoutALearnerWhenTheTimeIsOver) {
  std::string address;
  {
    Learner learner;
    address = learner.Address();
  }
  WorkerThread worker(address, CreateFakeEngine({}), absl::Milliseconds(300));
  const absl::Status status = worker.Join();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr(address));
}

// A learner that misbehaves as a test wants.
class OddLearner : public v1::Rollout::Service {
 public:
  OddLearner() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~OddLearner() override { server_->Shutdown(absl::ToChronoTime(absl::Now())); }
  std::string Address() const { return fmt::format("127.0.0.1:{}", port_); }

  grpc::Status Work(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<v1::LearnerMessage, v1::WorkerMessage>* stream) override {
    v1::WorkerMessage hello;
    stream->Read(&hello);
    v1::LearnerMessage message;
    message.mutable_weights()->set_policy_version(1);
    message.mutable_weights()->set_shared_memory(shared_memory);
    stream->Write(message);
    if (++streams_ <= broken_streams) return grpc::Status::OK;  // no goodbye
    if (superseded) {
      v1::Lease& lease = *message.mutable_lease();
      lease.set_id(1);
      lease.set_policy_version(1);
      lease.set_task_id("task");
      lease.add_prompt_ids(1);
      lease.set_sample_count(1);
      lease.mutable_sampling()->set_temperature(1);
      lease.mutable_sampling()->set_top_p(1);
      lease.mutable_sampling()->set_max_new_tokens(3);
      stream->Write(message);
      message.mutable_weights()->set_policy_version(2);
      stream->Write(message);
      v1::WorkerMessage answer;
      while (!answer.has_result() && stream->Read(&answer)) {
      }
      result = answer.result();
    }
    message.mutable_goodbye()->set_reason("enough");
    stream->Write(message);
    return grpc::Status::OK;
  }

  grpc::Status FetchWeights(grpc::ServerContext*, const v1::FetchWeightsRequest* request,
                            grpc::ServerWriter<v1::WeightChunk>* writer) override {
    const bool damages = ++fetches <= damaged_fetches;
    if (superseded && request->policy_version() == 1) {
      return {grpc::StatusCode::NOT_FOUND, "version 2 is published"};
    }
    constexpr size_t kCut = 10'000;
    const std::string bytes = ArenaOf(*model_.weights);
    for (size_t begin = 0; begin < bytes.size(); begin += kCut) {
      v1::WeightChunk chunk;
      chunk.set_policy_version(request->policy_version());
      chunk.set_offset(static_cast<int64_t>(begin));
      chunk.set_data(bytes.substr(begin, kCut));
      chunk.set_xxh3(XXH3_64bits(chunk.data().data(), chunk.data().size()));
      if (damages && begin == 3 * kCut) chunk.mutable_data()->at(0) ^= 1;
      writer->Write(chunk);
    }
    return grpc::Status::OK;
  }

  const Weights& GetWeights() const { return *model_.weights; }

  int64_t broken_streams = 0;
  int64_t damaged_fetches = 0;
  std::string shared_memory;  // announced with the weights
  bool superseded = false;    // gives out a lease of version 1, but has version 2 alone
  v1::LeaseResult result;     // of that lease; read it when the worker has ended
  std::atomic<int64_t> fetches = 0;

 private:
  TinyModel model_ = MakeModel();
  std::atomic<int64_t> streams_ = 0;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST(RolloutService, DamagedWeightsAreFetchedAgain) {
  OddLearner learner;
  learner.damaged_fetches = 2;
  WorkerThread worker(learner.Address());
  EXPECT_TRUE(worker.Join().ok());
  EXPECT_EQ(learner.fetches, 3);
  EXPECT_EQ(worker.GetWeights().Version(), 1);
  EXPECT_EQ(ArenaOf(worker.GetWeights()), ArenaOf(learner.GetWeights()));
}

TEST(RolloutService, AWorkerThatCannotReachTheLearnersMemoryFetchesOverTheNetwork) {
  OddLearner learner;
  learner.shared_memory = "ponder-weights-of-another-machine";
  WorkerThread worker(learner.Address());
  EXPECT_TRUE(worker.Join().ok());
  EXPECT_EQ(learner.fetches, 1);
  EXPECT_EQ(ArenaOf(worker.GetWeights()), ArenaOf(learner.GetWeights()));
}

TEST(RolloutService, WeightsThatAreDamagedEachTimeEndTheWorkerAndAreNeverUsed) {
  OddLearner learner;
  learner.damaged_fetches = 100;
  WorkerThread worker(learner.Address());
  const absl::Status status = worker.Join();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("checksum"));
  EXPECT_EQ(worker.GetWeights().Version(), 0);
}

TEST(RolloutService, ALeaseWhoseWeightsWereSupersededIsDoneWithTheNewerOnes) {
  OddLearner learner;
  learner.superseded = true;
  WorkerThread worker(learner.Address());
  EXPECT_TRUE(worker.Join().ok());
  EXPECT_EQ(learner.result.error(), "");
  ASSERT_EQ(learner.result.completions_size(), 1);
  EXPECT_EQ(learner.result.completions(0).versions(0).version(), 2);
}

TEST(RolloutService, AWorkerJoinsAgainWhenTheStreamBreaks) {
  OddLearner learner;
  learner.broken_streams = 2;
  WorkerThread worker(learner.Address());
  EXPECT_TRUE(worker.Join().ok());
}

}  // namespace
}  // namespace ponder
