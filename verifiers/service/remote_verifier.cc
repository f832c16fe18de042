#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "ponder/v1/verifier.grpc.pb.h"
#include "verifiers/service/convert.h"
#include "verifiers/service/limits.h"
#include "verifiers/service/verifier_service.h"

namespace ponder {
namespace {

constexpr absl::Duration kDescribeTimeout = absl::Seconds(5);
constexpr absl::Duration kLongestCall =
    absl::Hours(1);  // every wait ends, also one without a deadline

std::shared_ptr<grpc::Channel> OpenChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  // A verifier that was started again is found within a second; gRPC's own default grows to two
  // minutes.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // a proxy for web pages is none for verifiers
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

class RemoteVerifier : public Verifier {
 public:
  explicit RemoteVerifier(RemoteVerifierOptions options)
      : options_(std::move(options)), stub_(v1::Verifier::NewStub(OpenChannel(options_.address))) {}

  VerifierDescription Describe() const override {
    absl::StatusOr<VerifierDescription> description =
        KnownDescription(absl::Now() + kDescribeTimeout);
    if (description.ok()) return *std::move(description);
    return {.name = fmt::format("remote verifier at {}", options_.address)};
  }

  absl::StatusOr<std::vector<Verdict>> Verify(std::span<const VerifyItem> batch,
                                              absl::Time deadline) override {
    deadline = std::min(deadline, absl::Now() + kLongestCall);
    if (batch.empty()) {
      PONDER_RETURN_IF_ERROR(AskDescription(deadline).status());
      return std::vector<Verdict>();
    }
    PONDER_ASSIGN_OR_RETURN(const VerifierDescription description, KnownDescription(deadline));
    int64_t max_items = std::max<int64_t>(options_.max_batch_items, 1);
    if (description.max_batch > 0) max_items = std::min(max_items, description.max_batch);

    std::vector<Verdict> verdicts(batch.size());
    v1::VerifyRequest request;
    std::vector<size_t> places;  // of the request's items in the batch
    size_t bytes = 0;
    const auto flush = [&]() -> absl::Status {
      if (places.empty()) return absl::OkStatus();
      PONDER_RETURN_IF_ERROR(Call(request, places, deadline, verdicts));
      request.Clear();
      places.clear();
      bytes = 0;
      return absl::OkStatus();
    };
    for (size_t i = 0; i < batch.size(); ++i) {
      const int64_t length = static_cast<int64_t>(batch[i].completion.size());
      if (description.max_completion_bytes > 0 && length > description.max_completion_bytes) {
        verdicts[i] = {
            .status = VerdictStatus::kUnparseable,
            .reason = fmt::format("the completion has {} bytes, {} takes at most {}", length,
                                  description.name, description.max_completion_bytes)};
        continue;
      }
      v1::VerifyItem item;
      ToProto(batch[i], &item);
      const size_t item_bytes = item.ByteSizeLong();
      if (static_cast<int64_t>(places.size()) == max_items ||
          (!places.empty() && bytes + item_bytes > kUsualCallBytes)) {
        PONDER_RETURN_IF_ERROR(flush());
      }
      *request.add_items() = std::move(item);
      places.push_back(i);
      bytes += item_bytes;
    }
    PONDER_RETURN_IF_ERROR(flush());
    return verdicts;
  }

 private:
  // The status of a failed call, in words that name the peer.
  absl::Status Failure(const grpc::Status& status, const std::string& what) const {
    const char* fate = "failed";
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE) fate = "cannot be reached";
    if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) fate = "did not answer in time";
    return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                        fmt::format("the verifier at {} {} ({}): {}", options_.address, fate, what,
                                    status.error_message()));
  }

  absl::StatusOr<VerifierDescription> AskDescription(absl::Time deadline) const {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(std::min(deadline, absl::Now() + kDescribeTimeout)));
    v1::DescribeResponse response;
    const grpc::Status status = stub_->Describe(&context, {}, &response);
    // Judging alone is enough for a verifier.
    if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
      return VerifierDescription{.name = fmt::format("remote verifier at {}", options_.address)};
    }
    if (!status.ok()) return Failure(status, "asked who it is");
    return VerifierDescription{
        .name = response.name(),
        .version = response.version(),
        .task_kinds = {response.task_kinds().begin(), response.task_kinds().end()},
        .max_batch = response.max_batch(),
        .max_completion_bytes = response.max_completion_bytes()};
  }

  // Asks once; the answer is kept.
  absl::StatusOr<VerifierDescription> KnownDescription(absl::Time deadline) const {
    {
      absl::MutexLock lock(&mutex_);
      if (description_) return *description_;
    }
    PONDER_ASSIGN_OR_RETURN(VerifierDescription description, AskDescription(deadline));
    absl::MutexLock lock(&mutex_);
    description_ = description;
    return description;
  }

  absl::Status Call(const v1::VerifyRequest& request, const std::vector<size_t>& places,
                    absl::Time deadline, std::vector<Verdict>& verdicts) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(deadline));
    v1::VerifyResponse response;
    const grpc::Status status = stub_->Verify(&context, request, &response);
    if (!status.ok()) return Failure(status, fmt::format("{} items to judge", places.size()));
    if (response.verdicts_size() != static_cast<int>(places.size())) {
      return Internal(
          "the verifier at {} gave {} verdicts for {} items; it must give one an item, in order",
          options_.address, response.verdicts_size(), places.size());
    }
    for (size_t i = 0; i < places.size(); ++i) {
      verdicts[places[i]] = FromProto(response.verdicts(static_cast<int>(i)));
    }
    return absl::OkStatus();
  }

  const RemoteVerifierOptions options_;
  const std::unique_ptr<v1::Verifier::Stub> stub_;
  mutable absl::Mutex mutex_;
  mutable std::optional<VerifierDescription> description_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<Verifier> ConnectVerifier(const RemoteVerifierOptions& options) {
  return std::make_unique<RemoteVerifier>(options);
}

}  // namespace ponder
