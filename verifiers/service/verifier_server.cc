#include <absl/time/clock.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "ponder/v1/verifier.grpc.pb.h"
#include "verifiers/service/convert.h"
#include "verifiers/service/limits.h"
#include "verifiers/service/verifier_service.h"

namespace ponder {
namespace {

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

// Leaves part of the caller's time for the way back, so that what was judged in time still arrives.
absl::Time JudgingDeadline(const grpc::ServerContext& context) {
  const auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteFuture();
  const absl::Time time = absl::FromChrono(deadline);
  return time - std::min(absl::Milliseconds(100), (time - absl::Now()) / 10);
}

class VerifierService final : public v1::Verifier::Service {
 public:
  explicit VerifierService(Verifier& verifier) : verifier_(verifier) {}

  grpc::Status Describe(grpc::ServerContext*, const v1::DescribeRequest*,
                        v1::DescribeResponse* response) override {
    return Guarded([&]() -> absl::Status {
      const VerifierDescription description = verifier_.Describe();
      response->set_name(description.name);
      response->set_version(description.version);
      for (const std::string& kind : description.task_kinds) response->add_task_kinds(kind);
      response->set_max_batch(description.max_batch);
      response->set_max_completion_bytes(description.max_completion_bytes);
      return absl::OkStatus();
    });
  }

  grpc::Status Verify(grpc::ServerContext* context, const v1::VerifyRequest* request,
                      v1::VerifyResponse* response) override {
    return Guarded([&]() -> absl::Status {
      std::vector<VerifyItem> batch;
      batch.reserve(static_cast<size_t>(request->items_size()));
      for (const v1::VerifyItem& item : request->items()) batch.push_back(FromProto(item));
      PONDER_ASSIGN_OR_RETURN(const std::vector<Verdict> verdicts,
                              verifier_.Verify(batch, JudgingDeadline(*context)));
      if (verdicts.size() != batch.size()) {
        return Internal("the verifier gave {} verdicts for {} items", verdicts.size(),
                        batch.size());
      }
      for (const Verdict& verdict : verdicts) ToProto(verdict, response->add_verdicts());
      return absl::OkStatus();
    });
  }

 private:
  template <typename Call>
  static grpc::Status Guarded(const Call& call) {
    try {
      return ToGrpc(call());
    } catch (const std::exception& error) {
      return ToGrpc(Internal("the verifier failed: {}", error.what()));
    } catch (...) {
      return ToGrpc(Internal("the verifier failed"));
    }
  }

  Verifier& verifier_;
};

bool IsLoopback(const std::string& address) {
  for (const char* const prefix : {"127.", "localhost:", "[::1]:", "unix:"}) {
    if (address.starts_with(prefix)) return true;
  }
  return false;
}

}  // namespace

struct VerifierServer::State {
  explicit State(Verifier& verifier) : service(verifier) {}
  VerifierService service;
  std::unique_ptr<grpc::Server> server;
};

VerifierServer::VerifierServer(std::unique_ptr<State> state, int port)
    : state_(std::move(state)), port_(port) {}

absl::StatusOr<std::unique_ptr<VerifierServer>> VerifierServer::Start(Verifier& verifier,
                                                                      const std::string& address) {
  if (!IsLoopback(address)) {
    return InvalidArgument(
        "expected an address of this machine alone (127.0.0.1:PORT, [::1]:PORT, localhost:PORT or "
        "unix:PATH), found "
        "\"{}\"; calls are neither encrypted nor authenticated, so use a tunnel to reach it from "
        "elsewhere",
        address);
  }
  auto state = std::make_unique<State>(verifier);
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  // Without this two servers could listen on one port and share its calls by chance.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  builder.RegisterService(&state->service);
  state->server = builder.BuildAndStart();
  if (state->server == nullptr || (port == 0 && !address.starts_with("unix:"))) {
    return Unavailable(
        "cannot listen on {}: the port is in use by another program or the address is not this "
        "machine's; choose "
        "another, or port 0 for a free one",
        address);
  }
  return std::unique_ptr<VerifierServer>(new VerifierServer(std::move(state), port));
}

VerifierServer::~VerifierServer() { Shutdown(); }

void VerifierServer::Wait() { state_->server->Wait(); }

void VerifierServer::Shutdown() {
  state_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
}

}  // namespace ponder
