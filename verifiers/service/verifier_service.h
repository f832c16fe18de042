#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "verifiers/verifier.h"

namespace ponder {

// A running gRPC server for one verifier (proto/ponder/v1/verifier.proto).
class VerifierServer {
 public:
  // `address` "127.0.0.1:0" takes a free port; the verifier outlives the server. UNAVAILABLE with
  // the address where the port is in use; INVALID_ARGUMENT for an address beyond this machine.
  static absl::StatusOr<std::unique_ptr<VerifierServer>> Start(Verifier& verifier,
                                                               const std::string& address);
  ~VerifierServer();  // stops; calls in flight get a second to end, then the verifier must return

  int Port() const { return port_; }
  void Wait();  // until Shutdown from another thread
  void Shutdown();

 private:
  struct State;
  explicit VerifierServer(std::unique_ptr<State> state, int port);
  std::unique_ptr<State> state_;
  int port_ = 0;
};

struct RemoteVerifierOptions {
  std::string address;            // "127.0.0.1:5001"
  int64_t max_batch_items = 256;  // a batch is split into calls of at most this many
};

// A verifier in another process. Each call carries the deadline; a dead or hanging peer is an
// UNAVAILABLE or DEADLINE_EXCEEDED status that names it, never a verdict. Connects again by itself.
// Verify of an empty batch asks the peer whether it is there. Splits batches further by the limits
// that the peer describes; answers that cannot be verdicts become INTERNAL.
std::unique_ptr<Verifier> ConnectVerifier(const RemoteVerifierOptions& options);

}  // namespace ponder
