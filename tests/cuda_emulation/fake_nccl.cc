#include <cuda_runtime.h>

#include <deque>
#include <memory>
#include <stdexcept>
#include <vector>

#include "kernels/cuda/nccl_library.h"

// In the place of kernels/cuda/nccl_library.cc: what NCCL does, in the order of the emulated
// streams. A call goes on when all ranks' streams have reached it; ranks that call something else
// end the program's test.
namespace {

struct Call {
  size_t count = 0;
  std::vector<float*> buffers;  // by rank; null: not there yet
  bool is_done = false;
};

struct Group {
  int ranks = 0;
  std::deque<Call> calls;  // in their order, which is the same on all ranks
  bool is_aborted = false;
};

// Sums in the order of the ranks, on the last one's stream.
bool Meet(Group& group, size_t number, size_t rank, float* buffer, size_t count) {
  if (group.is_aborted) return true;
  while (group.calls.size() <= number)
    group.calls.push_back({count, std::vector<float*>(static_cast<size_t>(group.ranks), nullptr)});
  Call& call = group.calls[number];
  if (call.count != count)
    throw std::logic_error("the ranks add up " + std::to_string(call.count) + " and " +
                           std::to_string(count) + " numbers");
  call.buffers[rank] = buffer;
  for (const float* there : call.buffers) {
    if (there == nullptr) return false;
  }
  if (call.is_done) return true;
  for (size_t i = 0; i < count; ++i) {
    float sum = call.buffers[0][i];
    for (size_t r = 1; r < call.buffers.size(); ++r) sum += call.buffers[r][i];
    for (float* const values : call.buffers) values[i] = sum;
  }
  return call.is_done = true;
}

}  // namespace

namespace ponder::kernels::cuda {

struct ncclComm {
  std::shared_ptr<Group> group;
  size_t rank = 0;
  size_t calls = 0;
};

absl::StatusOr<const NcclLibrary*> LoadNccl() {
  static const NcclLibrary library = {
      .get_version = [](int* version) { return *version = 20000, 0; },
      .get_error_string = [](int) { return "invalid argument"; },
      .comm_init_all =
          [](NcclComm* comms, int count, const int* devices) {
            const auto group = std::make_shared<Group>(Group{.ranks = count});
            for (int i = 0; i < count; ++i) {
              for (int j = 0; j < i; ++j) {
                if (devices[i] == devices[j]) return 4;  // ncclInvalidArgument
              }
            }
            for (int i = 0; i < count; ++i) comms[i] = new ncclComm{group, static_cast<size_t>(i)};
            return 0;
          },
      .comm_destroy = [](NcclComm comm) { return delete comm, 0; },
      .comm_abort =
          [](NcclComm comm) {
            cuda_emulation::ChangeMeetings([&] { comm->group->is_aborted = true; });
            delete comm;
            return 0;
          },
      .all_reduce =
          [](const void* send, void* receive, size_t count, int type, int operation, NcclComm comm,
             cudaStream_t stream) {
            if (send != receive || type != kNcclFloat32 || operation != kNcclSum) return 4;
            const cudaError_t error = cuda_emulation::EnqueueMeeting(
                stream, [group = comm->group, number = comm->calls++, rank = comm->rank,
                         buffer = static_cast<float*>(receive),
                         count] { return Meet(*group, number, rank, buffer, count); });
            return error == cudaSuccess ? 0 : 1;  // ncclUnhandledCudaError
          }};
  return &library;
}

}  // namespace ponder::kernels::cuda
