#include <absl/time/clock.h>
#include <unistd.h>

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "rollout/service/convert.h"
#include "rollout/service/learner_connection.h"
#include "rollout/service/model_fingerprint.h"
#include "rollout/service/rollout_service.h"
#include "rollout/service/weight_borrower.h"

namespace ponder {
namespace {

constexpr absl::Duration kIdleWait = absl::Milliseconds(50);      // between looks at `cancelled`
constexpr absl::Duration kConnectWait = absl::Milliseconds(200);  // the same, without a learner
constexpr int kFetchAttempts = 3;

std::string DefaultName() {
  char host[256] = "unknown";
  gethostname(host, sizeof(host) - 1);
  return fmt::format("{}:{}", host, getpid());
}

// Another attempt would end the same way.
bool IsRefusal(const absl::Status& status) {
  return status.code() == absl::StatusCode::kInvalidArgument ||
         status.code() == absl::StatusCode::kFailedPrecondition ||
         status.code() == absl::StatusCode::kUnimplemented ||
         status.code() == absl::StatusCode::kUnauthenticated;
}

class Worker {
 public:
  Worker(const RolloutWorkerOptions& options, Weights& weights, RolloutEngine& engine,
         const std::function<bool()>& cancelled)
      : options_(options),
        weights_(weights),
        engine_(engine),
        cancelled_(cancelled),
        borrower_(weights) {}

  absl::Status Run() {
    absl::Time last_contact = absl::Now();
    absl::Status lost = Unavailable("nobody answers");
    while (!Cancelled()) {
      if (absl::Now() - last_contact > options_.reconnect_limit) {
        return Unavailable("no learner at {} for {}: {}", options_.learner_address,
                           absl::FormatDuration(options_.reconnect_limit), lost.message());
      }
      connection_ = LearnerConnection::Open(options_.learner_address, kConnectWait);
      if (connection_ == nullptr) continue;
      const absl::Status status = Serve(last_contact);
      if (!dismissed_ && !connection_->Ended().has_value()) {
        connection_->SayGoodbye(status.ok() ? "it was stopped" : std::string(status.message()));
      }
      connection_ = nullptr;
      if (status.ok() || IsRefusal(status) || status.code() == absl::StatusCode::kDataLoss) {
        return Annotate(status, "learner at " + options_.learner_address);
      }
      lost = status;
      PONDER_RETURN_IF_ERROR(DropLeases());
      absl::SleepFor(kConnectWait);  // a learner that ends each stream at once is not to be asked
                                     // in a tight loop
    }
    return absl::OkStatus();
  }

 private:
  struct Held {
    int64_t missing = 0;
    v1::LeaseResult result;
  };

  bool Cancelled() const { return cancelled_ && cancelled_(); }

  // Works for a connected learner. OK where it said goodbye or this worker was cancelled.
  absl::Status Serve(absl::Time& last_contact) {
    v1::WorkerMessage message;
    v1::WorkerHello& hello = *message.mutable_hello();
    hello.set_name(options_.name.empty() ? DefaultName() : options_.name);
    const EngineCapabilities capabilities = engine_.Capabilities();
    hello.set_fingerprint(capabilities.fingerprint);
    hello.set_max_sequences(capabilities.max_sequences);
    hello.set_model_fingerprint(ModelFingerprint(weights_));
    connection_->Send(std::move(message));
    version_ = std::nullopt;

    while (!Cancelled()) {
      const absl::Duration wait = held_.empty() ? kIdleWait : absl::ZeroDuration();
      while (const std::optional<v1::LearnerMessage> received =
                 connection_->Receive(held_.empty() ? wait : absl::ZeroDuration())) {
        last_contact = absl::Now();
        if (received->has_goodbye()) {
          dismissed_ = true;
          return DropLeases();
        }
        PONDER_RETURN_IF_ERROR(Handle(*received));
      }
      if (const std::optional<absl::Status> end = connection_->Ended()) {
        return end->ok() ? Unavailable("the learner ended the stream without a goodbye") : *end;
      }
      if (!held_.empty()) StepEngine();
    }
    return DropLeases();
  }

  absl::Status Handle(const v1::LearnerMessage& message) {
    if (message.has_weights()) return SwitchTo(message.weights());
    if (message.has_lease()) {
      TakeLease(message.lease());
    } else if (message.has_withdraw()) {
      for (const uint64_t id : message.withdraw().lease_ids()) {
        std::erase_if(early_, [id](const v1::Lease& lease) { return lease.id() == id; });
        if (held_.erase(id) > 0) engine_.Cancel(id);
      }
    }
    return absl::OkStatus();
  }

  // What is under way goes on with the new weights: leases that nobody waits for any more are
  // withdrawn, not outdated.
  absl::Status SwitchTo(const v1::NewWeights& news) {
    const int64_t version = news.policy_version();
    if (!incoming_.has_value()) {
      PONDER_ASSIGN_OR_RETURN(incoming_, weights_.MakeArena());
    }
    std::string transport = "shared memory";
    absl::Status status = Borrow(news);
    if (!status.ok() && !absl::IsNotFound(status) && !Cancelled()) {
      transport = fmt::format("gRPC ({})", status.message());
      status = Fetch(version);
    }
    // Superseded already, or asked to stop: the next message, or the caller, says how to go on.
    if (absl::IsNotFound(status) || Cancelled()) return absl::OkStatus();
    PONDER_RETURN_IF_ERROR(status);
    weights_.SetVersion(version);
    engine_.WeightsChanged(version);
    version_ = version;
    v1::WorkerMessage message;
    message.mutable_installed()->set_policy_version(version);
    message.mutable_installed()->set_transport(transport);
    connection_->Send(std::move(message));
    for (const v1::Lease& lease : std::exchange(early_, {})) TakeLease(lease);
    return absl::OkStatus();
  }

  absl::Status Borrow(const v1::NewWeights& news) {
    if (!options_.share_memory) return FailedPrecondition("sharing memory is switched off");
    if (news.shared_memory().empty()) return Unavailable("the learner shares no memory");
    PONDER_RETURN_IF_ERROR(borrower_.Read(news.shared_memory(), news.policy_version(), *incoming_,
                                          [this] { return Cancelled(); }));
    return weights_.Exchange(*incoming_);
  }

  absl::Status Fetch(int64_t version) {
    absl::Status status;
    for (int attempt = 0; attempt < kFetchAttempts; ++attempt) {
      WeightAssembler assembler(weights_, *incoming_, version);
      status = connection_->FetchWeights(version, assembler, [this] { return Cancelled(); });
      if (status.ok()) status = weights_.Exchange(*incoming_);
      if (!absl::IsDataLoss(status)) break;
    }
    return status;
  }

  void TakeLease(const v1::Lease& lease) {
    // The lease's version was superseded before it could be fetched: a newer one is announced
    // behind the lease.
    if (!version_.has_value() || *version_ < lease.policy_version()) {
      early_.push_back(lease);
      return;
    }
    const absl::Status status =
        engine_.Submit({.id = lease.id(),
                        .task_id = lease.task_id(),
                        .seed = lease.seed(),
                        .prompt_ids = {lease.prompt_ids().begin(), lease.prompt_ids().end()},
                        .sample_begin = lease.sample_begin(),
                        .sample_count = lease.sample_count(),
                        .sampling = FromProto(lease.sampling())});
    if (!status.ok()) {
      Refuse(lease.id(), std::string(status.message()));
      return;
    }
    Held& held = held_[lease.id()];
    held.missing = lease.sample_count();
    held.result.set_lease_id(lease.id());
  }

  void Refuse(uint64_t lease_id, const std::string& error) {
    v1::WorkerMessage message;
    message.mutable_result()->set_lease_id(lease_id);
    message.mutable_result()->set_error(error);
    connection_->Send(std::move(message));
  }

  void StepEngine() {
    const absl::StatusOr<bool> worked = engine_.Step();
    for (const RolloutResult& result : engine_.Poll()) {
      const auto held = held_.find(result.request_id);
      if (held == held_.end()) continue;  // withdrawn
      ToProto(result.completion, *held->second.result.add_completions());
      if (--held->second.missing > 0) continue;
      v1::WorkerMessage message;
      *message.mutable_result() = std::move(held->second.result);
      connection_->Send(std::move(message));
      held_.erase(held);
    }
    if (worked.ok()) return;
    for (const auto& [id, held] : std::exchange(held_, {})) {
      engine_.Cancel(id);
      Refuse(id, std::string(worked.status().message()));
    }
  }

  // Empties the engine.
  absl::Status DropLeases() {
    early_.clear();
    for (const auto& [id, held] : std::exchange(held_, {})) engine_.Cancel(id);
    const absl::StatusOr<bool> step = engine_.Step();
    engine_.Poll();
    return step.status();
  }

  const RolloutWorkerOptions& options_;
  Weights& weights_;
  RolloutEngine& engine_;
  const std::function<bool()>& cancelled_;
  WeightBorrower borrower_;
  std::optional<kernels::DeviceBuffer> incoming_;  // the next version's; then the last one's
  std::unique_ptr<LearnerConnection> connection_;
  bool dismissed_ = false;          // the learner said goodbye
  std::optional<int64_t> version_;  // of the weights in place, fetched over this connection
  std::map<uint64_t, Held> held_;   // by lease
  std::vector<v1::Lease> early_;    // wait for their weights
};

}  // namespace

absl::Status RunRolloutWorker(const RolloutWorkerOptions& options, Weights& weights,
                              RolloutEngine& engine, const std::function<bool()>& cancelled) {
  return Worker(options, weights, engine, cancelled).Run();
}

}  // namespace ponder
