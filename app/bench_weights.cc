#include "app/bench_weights.h"

#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "base/child_process.h"
#include "kernels/backend.h"
#include "rollout/group_source.h"
#include "rollout/service/rollout_service.h"

namespace ponder {
namespace {

constexpr absl::Duration kStartLimit = absl::Minutes(5);    // a worker loads its model
constexpr absl::Duration kArriveLimit = absl::Seconds(60);  // it takes one version

double SecondsSince(absl::Time start) { return absl::ToDoubleSeconds(absl::Now() - start); }

// The newest version that the worker has in place.
class Arrivals {
 public:
  void Note(int64_t version) {
    absl::MutexLock lock(&mutex_);
    version_ = version;
  }
  absl::Status Await(int64_t version, absl::Duration limit) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return version_ == version; };
    if (mutex_.AwaitWithTimeout(absl::Condition(&there), limit)) return absl::OkStatus();
    return Unavailable(
        "the worker did not come to policy version {} within {}; run `ponder rollout`", version,
        absl::FormatDuration(limit));
  }

 private:
  absl::Mutex mutex_;
  int64_t version_ ABSL_GUARDED_BY(mutex_) = -1;
};

// Bytes of a model's size, twice, for the plain ways to move them.
class PlainTransfer {
 public:
  static absl::StatusOr<PlainTransfer> Create(kernels::Backend& backend, int64_t bytes) {
    PlainTransfer transfer;
    PONDER_ASSIGN_OR_RETURN(transfer.from_, kernels::DeviceBuffer::Create(backend, bytes));
    PONDER_ASSIGN_OR_RETURN(transfer.to_, kernels::DeviceBuffer::Create(backend, bytes));
    // Memory that was never written is one page of zeros, read from a cache.
    std::memset(transfer.from_.As<char>(), 1, bytes);
    return transfer;
  }

  // Seconds.
  absl::StatusOr<double> Copy() const {
    const absl::Time start = absl::Now();
    std::memcpy(to_.As<char>(), from_.As<char>(), to_.Bytes());
    return SecondsSince(start);
  }

  // Over one connection, made before, from one thread to another.
  absl::StatusOr<double> SendOverTcp() const {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int sender = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    int receiver = -1;
    if (bind(listener, any, size) == 0 && listen(listener, 1) == 0 &&
        getsockname(listener, any, &size) == 0 && connect(sender, any, size) == 0) {
      receiver = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    }
    absl::StatusOr<double> seconds =
        Unavailable("no loopback connection: {}", std::strerror(errno));
    if (receiver >= 0) seconds = Pump(sender, receiver);
    for (const int file : {listener, sender, receiver}) {
      if (file >= 0) close(file);
    }
    return seconds;
  }

 private:
  absl::StatusOr<double> Pump(int sender, int receiver) const {
    const absl::Time start = absl::Now();
    std::thread sending([&] {
      for (int64_t sent = 0; sent < from_.Bytes();) {
        const ssize_t size =
            send(sender, from_.As<char>() + sent, from_.Bytes() - sent, MSG_NOSIGNAL);
        if (size <= 0) break;
        sent += size;
      }
      shutdown(sender, SHUT_WR);
    });
    int64_t received = 0;
    while (received < to_.Bytes()) {
      const ssize_t size = recv(receiver, to_.As<char>() + received, to_.Bytes() - received, 0);
      if (size <= 0) break;
      received += size;
    }
    const double seconds = SecondsSince(start);
    shutdown(receiver, SHUT_RDWR);
    sending.join();
    if (received == to_.Bytes()) return seconds;
    return Unavailable("a loopback connection ended after {} of {} bytes", received, to_.Bytes());
  }

  kernels::DeviceBuffer from_, to_;
};

absl::Status BenchInProcess(const BenchSpeedOptions& options, Session& session,
                            const BenchReport& report) {
  PONDER_ASSIGN_OR_RETURN(RolloutEngine * engine, session.Engine({.cache_tokens = 4096}));
  const std::unique_ptr<GroupSource> source = CreateLocalGroupSource(*engine);
  absl::Status status;
  int64_t version = 0;
  const BenchRow row = Repeat("weights_in_process", "ms", options.repeats, [&] {
    const absl::Time start = absl::Now();
    status.Update(source->PublishWeights(++version));
    return 1e3 * SecondsSince(start);
  });
  PONDER_RETURN_IF_ERROR(status);
  report(row);
  return absl::OkStatus();
}

struct RemoteBench {
  std::string name;
  std::vector<std::string> worker_options;
  std::function<absl::StatusOr<double>()> limit;  // seconds of the plain way
};

absl::Status BenchRemote(const BenchSpeedOptions& options, Session& session,
                         const RemoteBench& bench, const BenchReport& report) {
  const SessionOptions& model = options.session;
  const Weights& weights = *session.Model().weights;
  Arrivals arrivals;
  PONDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<RolloutServer> server,
      StartRolloutServer(weights, session.GetBackend().Info().fingerprint,
                         {.on_installed = [&](int64_t version) { arrivals.Note(version); }}));
  std::vector<std::string> arguments = {
      ProgramPath(),    "rollout",
      "--model",        model.model_directory,
      "--dtype",        model.dtype,
      "--isa",          model.isa,
      "--threads",      fmt::format("{}", model.threads),
      "--cache-tokens", "4096",
      "--learner",      fmt::format("127.0.0.1:{}", server->Port())};
  arguments.insert(arguments.end(), bench.worker_options.begin(), bench.worker_options.end());
  PONDER_ASSIGN_OR_RETURN(const ChildProcess worker, ChildProcess::Start(arguments));
  PONDER_RETURN_IF_ERROR(arrivals.Await(weights.Version(), kStartLimit));

  const double gigabytes = 1e-9 * static_cast<double>(weights.ArenaBytes());
  std::vector<double> rates, limits;
  for (int64_t repeat = -1; repeat < options.repeats; ++repeat) {
    PONDER_ASSIGN_OR_RETURN(const double plain, bench.limit());
    const int64_t version = weights.Version() + 2 + repeat;
    const absl::Time start = absl::Now();
    PONDER_RETURN_IF_ERROR(server->PublishWeights(version));
    PONDER_RETURN_IF_ERROR(arrivals.Await(version, kArriveLimit));
    if (repeat < 0) continue;  // pages are new to both
    rates.push_back(gigabytes / SecondsSince(start));
    limits.push_back(gigabytes / plain);
  }
  BenchRow row = MakeRow(bench.name, "GB/s", rates);
  row.limit = MakeRow("", "", limits).median;
  report(row);
  return absl::OkStatus();
}

}  // namespace

absl::Status BenchWeights(const BenchSpeedOptions& options, const BenchReport& report) {
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Open(options.session));
  PONDER_RETURN_IF_ERROR(BenchInProcess(options, *session, report));
  PONDER_ASSIGN_OR_RETURN(
      const PlainTransfer plain,
      PlainTransfer::Create(session->GetBackend(), session->Model().weights->ArenaBytes()));
  PONDER_RETURN_IF_ERROR(BenchRemote(options, *session,
                                     {.name = "weights_shared_memory",
                                      .worker_options = {},
                                      .limit = [&] { return plain.Copy(); }},
                                     report));
  return BenchRemote(options, *session,
                     {.name = "weights_grpc",
                      .worker_options = {"--no-shared-memory"},
                      .limit = [&] { return plain.SendOverTcp(); }},
                     report);
}

}  // namespace ponder
