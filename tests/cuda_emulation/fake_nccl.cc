#include <cuda_runtime.h>

#include <cstring>
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
  int root = kAll;             // of a broadcast
  std::vector<void*> buffers;  // by rank; null: not there yet
  bool is_done = false;

  static constexpr int kAll = -1;  // of a sum
};

struct Group {
  int ranks = 0;
  std::deque<Call> calls;  // in their order, which is the same on all ranks
  bool is_aborted = false;
};

// What all ranks have called is done on the last one's stream.
void Do(const Call& call) {
  if (call.root != Call::kAll) {
    const void* const from = call.buffers.at(static_cast<size_t>(call.root));
    for (void* const to : call.buffers) {
      if (to != from) std::memcpy(to, from, call.count);
    }
    return;
  }
  for (size_t i = 0; i < call.count; ++i) {
    float sum = 0;
    for (size_t r = 0; r < call.buffers.size(); ++r) {
      const float value = static_cast<const float*>(call.buffers[r])[i];
      sum = r == 0 ? value : sum + value;
    }
    for (void* const values : call.buffers) static_cast<float*>(values)[i] = sum;
  }
}

bool Meet(Group& group, size_t number, size_t rank, const Call& mine, void* buffer) {
  if (group.is_aborted) return true;
  while (group.calls.size() <= number) {
    group.calls.push_back(mine);
    group.calls.back().buffers.assign(static_cast<size_t>(group.ranks), nullptr);
  }
  Call& call = group.calls[number];
  if (call.count != mine.count || call.root != mine.root)
    throw std::logic_error("the ranks call for " + std::to_string(call.count) + " and " +
                           std::to_string(mine.count) + " at once, or for different roots");
  call.buffers[rank] = buffer;
  for (const void* there : call.buffers) {
    if (there == nullptr) return false;
  }
  if (!call.is_done) Do(call);
  return call.is_done = true;
}

}  // namespace

namespace ponder::kernels::cuda {

struct ncclComm {
  std::shared_ptr<Group> group;
  size_t rank = 0;
  size_t calls = 0;
};

namespace {

int Enqueue(NcclComm comm, const Call& call, void* buffer, cudaStream_t stream) {
  const cudaError_t error = cuda_emulation::EnqueueMeeting(
      stream, [group = comm->group, number = comm->calls++, rank = comm->rank, call, buffer] {
        return Meet(*group, number, rank, call, buffer);
      });
  return error == cudaSuccess ? 0 : 1;  // ncclUnhandledCudaError
}

}  // namespace

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
            return Enqueue(comm, {.count = count}, receive, stream);
          },
      .broadcast =
          [](const void* send, void* receive, size_t count, int type, int root, NcclComm comm,
             cudaStream_t stream) {
            if (send != receive || type != kNcclUint8 || root < 0 || root >= comm->group->ranks)
              return 4;
            return Enqueue(comm, {.count = count, .root = root}, receive, stream);
          }};
  return &library;
}

}  // namespace ponder::kernels::cuda
