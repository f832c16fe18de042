#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"

namespace ponder::kernels {

// One device's end of what several devices of this process do together. Its calls are enqueued in
// order with the operations of its backend; each rank calls from a thread of its own, and all make
// the same calls in the same order.
class Collective {
 public:
  virtual ~Collective() = default;

  // What carries the bytes: "NCCL 2.28.3", "the host's memory".
  virtual std::string Describe() const = 0;

  // Puts the sum over all ranks in the place of `values` [count]: the same bits on all of them.
  virtual absl::Status AllReduceSum(float* values, int64_t count) = 0;

  // Puts what lies at rank `root` in the place of the others' [bytes], a multiple of 4. The root's
  // later operations need not wait: until Settle they may read `data`, not write it.
  virtual absl::Status Broadcast(void* data, int64_t bytes, int64_t root) = 0;
  // Lets later operations of the backend wait for the broadcasts.
  virtual absl::Status Settle() = 0;

  // Ends the waits of all ranks, for one that cannot go on: from then on every call fails with
  // `why`. From any thread.
  virtual void Abort(const absl::Status& why) = 0;
};

// An end for each backend, rank by rank; the backends outlive them. By NCCL for GPUs, where it is
// there, else over memory of the host. FAILED_PRECONDITION where NCCL cannot join them.
absl::StatusOr<std::vector<std::unique_ptr<Collective>>> CreateCollectives(
    std::span<Backend* const> backends);

// Over memory of the host, for backends of any kind: sums are added in the order of the ranks.
// `why` stands behind the description, in parentheses.
std::vector<std::unique_ptr<Collective>> CreateHostCollectives(std::span<Backend* const> backends,
                                                               const std::string& why = "");

}  // namespace ponder::kernels
