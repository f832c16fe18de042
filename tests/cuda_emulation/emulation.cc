#include <cuda_runtime.h>
#include <sys/mman.h>
#include <unistd.h>

#include <boost/context/fiber.hpp>
#include <boost/context/pooled_fixedsize_stack.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

using Work = std::function<void()>;

// What is waiting on a stream: false where it has to be tried again when another one is further.
using Attempt = std::function<bool()>;

struct EmulatedStream {
  int device = 0;
  std::deque<Attempt> waiting;
  EmulatedGraph* capture = nullptr;
};
struct EmulatedEvent {
  EmulatedStream* stream = nullptr;
  int64_t records = 0;  // asked for
  int64_t reached = 0;  // the last one that came to pass
};
struct EmulatedGraph {
  std::shared_ptr<std::vector<Work>> work = std::make_shared<std::vector<Work>>();
};

namespace ponder::cuda_emulation {
namespace {

namespace context = boost::context;

constexpr int kDevices = 2;
constexpr unsigned kWarp = 32;
int multiprocessors = 4;
constexpr size_t kSlotBytes = 32;
constexpr size_t kStackBytes = 128 << 10;
constexpr size_t kSharedBytes = 228 << 10;

// ---- device memory ----

// Of one device. Allocations end at a page that nobody may touch, and cannot be touched at all
// while none of the device's kernels or copies runs. Guarded by DeviceMutex.
class DeviceMemory {
 public:
  cudaError_t Allocate(void** memory, size_t bytes) {
    if (bytes > limit_ - used_) return cudaErrorMemoryAllocation;
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t rounded = (bytes + 255) / 256 * 256;
    const size_t mapped = (rounded + page - 1) / page * page;
    void* base =
        mmap(nullptr, mapped + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) return cudaErrorMemoryAllocation;
    *memory = static_cast<char*>(base) + (mapped - rounded);
    pieces_[*memory] = {static_cast<char*>(base), mapped, bytes};
    used_ += bytes;
    peak_ = std::max(peak_, used_);
    return cudaSuccess;
  }
  bool Holds(void* memory) const { return pieces_.contains(memory); }
  cudaError_t Free(void* memory) {
    const auto piece = pieces_.find(memory);
    if (piece == pieces_.end()) return cudaErrorInvalidValue;
    munmap(piece->second.base, piece->second.mapped + static_cast<size_t>(sysconf(_SC_PAGESIZE)));
    used_ -= piece->second.bytes;
    pieces_.erase(piece);
    return cudaSuccess;
  }
  void SetLimit(size_t bytes) { limit_ = bytes; }
  size_t Limit() const { return limit_; }
  size_t Used() const { return used_; }
  size_t TakePeak() { return std::exchange(peak_, used_); }
  void Protect(int protection) {
    for (const auto& [memory, piece] : pieces_) mprotect(piece.base, piece.mapped, protection);
  }

 private:
  struct Piece {
    char* base = nullptr;
    size_t mapped = 0;
    size_t bytes = 0;
  };
  std::map<void*, Piece> pieces_;
  size_t limit_ = size_t{4} << 30;
  size_t used_ = 0;
  size_t peak_ = 0;
};

// Of cudaMallocHost.
class PinnedMemory {
 public:
  void* Allocate(size_t bytes) {
    std::lock_guard lock(mutex_);
    auto piece = std::make_unique<std::max_align_t[]>(bytes / sizeof(std::max_align_t) + 5);
    void* memory = piece.get();
    size_t space = bytes + 64;
    std::align(64, bytes, memory, space);
    pieces_[static_cast<char*>(memory)] = {bytes, std::move(piece)};
    return memory;
  }
  bool Free(void* memory) {
    std::lock_guard lock(mutex_);
    return pieces_.erase(static_cast<char*>(memory)) > 0;
  }
  bool Holds(const void* at) {
    std::lock_guard lock(mutex_);
    const auto* const byte = static_cast<const char*>(at);
    const auto behind = pieces_.upper_bound(const_cast<char*>(byte));
    if (behind == pieces_.begin()) return false;
    const auto piece = std::prev(behind);
    return byte < piece->first + piece->second.first;
  }

 private:
  std::mutex mutex_;
  std::map<char*, std::pair<size_t, std::unique_ptr<std::max_align_t[]>>> pieces_;
};

PinnedMemory& Pinned() {
  static PinnedMemory memory;
  return memory;
}

// The thread's, as the runtime has it.
thread_local int current_device = 0;

DeviceMemory& Memory(int device = current_device) {
  static DeviceMemory memories[kDevices];
  return memories[device];
}

// ---- threads ----

enum class State { kReady, kAtWarp, kAtBlock, kDone };

struct Thread {
  context::fiber fiber;
  State state = State::kReady;
  unsigned exchanges = 0;
  struct Copy {
    void* to = nullptr;
    const void* from = nullptr;
    size_t bytes = 0, valid = 0;
  };
  std::vector<Copy> open;                // not committed
  std::deque<std::vector<Copy>> groups;  // committed, oldest first
};

struct Warp {
  unsigned alive = 0, waiting = 0;
  // Two sets, so that a lane may give its next value while others still read the last.
  char slots[2][kWarp * kSlotBytes];
};

class Device {
 public:
  void RunKernel(const cudaLaunchConfig_t& config, const Work& thread) {
    ++launches_;
    gridDim = config.gridDim;
    blockDim = config.blockDim;
    for (unsigned z = 0; z < gridDim.z; ++z) {
      for (unsigned y = 0; y < gridDim.y; ++y) {
        for (unsigned x = 0; x < gridDim.x; ++x) {
          blockIdx = {x, y, z};
          RunBlock(config, thread);
        }
      }
    }
  }

  void Wait(State state) {
    Thread& thread = threads_[current_];
    thread.state = state;
    if (state == State::kAtWarp) {
      ++warps_[current_ / kWarp].waiting;
      ReleaseWarp(current_ / kWarp);
    } else {
      ++waiting_;
      ReleaseBlock();
    }
    scheduler_ = std::move(scheduler_).resume();
  }

  const char* Exchange(const void* value, size_t bytes) {
    if (bytes > kSlotBytes) throw std::logic_error("an exchange of more than 32 bytes");
    Warp& warp = warps_[current_ / kWarp];
    char* const slots = warp.slots[threads_[current_].exchanges++ % 2];
    std::memcpy(slots + current_ % kWarp * kSlotBytes, value, bytes);
    Wait(State::kAtWarp);
    return slots;
  }

  Thread& Current() { return threads_[current_]; }
  char* Shared() { return shared_.data(); }
  void* SharedArray(const void* key, size_t bytes) {
    for (const auto& [name, memory] : arrays_) {
      if (name == key) return memory.get();
    }
    auto memory = std::make_unique<std::max_align_t[]>(bytes / sizeof(std::max_align_t) + 1);
    std::memset(memory.get(), 0xff, bytes);
    return arrays_.emplace_back(key, std::move(memory)).second.get();
  }
  void SetOrder(ThreadOrder order) { order_ = order; }
  int64_t Launches() const { return launches_; }

 private:
  void RunBlock(const cudaLaunchConfig_t& config, const Work& kernel) {
    const unsigned count = config.blockDim.x;
    if (count % kWarp != 0 || config.blockDim.y != 1 || config.blockDim.z != 1) {
      throw std::logic_error("blocks here have one dimension, a multiple of 32 threads");
    }
    if (config.dynamicSmemBytes > kSharedBytes) throw std::logic_error("too much shared memory");
    // NaN for fp32 and for bf16. A byte beyond what was asked for is a byte of nobody.
    shared_.assign(config.dynamicSmemBytes + 16, static_cast<char>(0xff));
    arrays_.clear();
    threads_.clear();
    threads_.resize(count);
    warps_.assign(count / kWarp, Warp{});
    for (Warp& warp : warps_) warp.alive = kWarp;
    alive_ = count;
    waiting_ = 0;
    for (Thread& thread : threads_) {
      thread.fiber =
          context::fiber(std::allocator_arg, stacks_, [this, &kernel](context::fiber&& scheduler) {
            scheduler_ = std::move(scheduler);
            try {
              kernel();
            } catch (const context::detail::forced_unwind&) {
              throw;
            } catch (...) {
              failure_ = std::current_exception();
            }
            return std::move(scheduler_);
          });
    }
    // A warp goes on until all its lanes wait at the block's barrier: what it must not touch before
    // the others have come so far, it touches.
    const unsigned warps = count / kWarp;
    while (alive_ > 0) {
      bool progress = false;
      for (unsigned w = 0; w < warps; ++w) {
        while (RunLanes(order_ == ThreadOrder::kAscending ? w : warps - 1 - w)) progress = true;
      }
      if (!progress) Deadlock();
    }
  }

  // Each lane that can goes on; whether there was one.
  bool RunLanes(unsigned warp) {
    bool progress = false;
    for (unsigned i = 0; i < kWarp; ++i) {
      const unsigned index = warp * kWarp + (order_ == ThreadOrder::kAscending ? i : kWarp - 1 - i);
      if (threads_[index].state != State::kReady) continue;
      progress = true;
      Resume(index);
      if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    }
    return progress;
  }

  void Resume(unsigned index) {
    current_ = index;
    threadIdx = {index, 0, 0};
    Thread& thread = threads_[index];
    thread.fiber = std::move(thread.fiber).resume();
    if (thread.fiber) return;
    thread.state = State::kDone;
    --alive_;
    --warps_[index / kWarp].alive;
    ReleaseWarp(index / kWarp);
    ReleaseBlock();
  }

  void ReleaseWarp(unsigned warp) {
    if (warps_[warp].waiting == 0 || warps_[warp].waiting < warps_[warp].alive) return;
    if (warps_[warp].alive < kWarp) {
      throw std::logic_error("a warp exchanges values, but some of its lanes have returned");
    }
    warps_[warp].waiting = 0;
    for (unsigned i = warp * kWarp; i < (warp + 1) * kWarp; ++i) threads_[i].state = State::kReady;
  }

  void ReleaseBlock() {
    if (waiting_ == 0 || waiting_ < alive_) return;
    waiting_ = 0;
    for (Thread& thread : threads_) {
      if (thread.state == State::kAtBlock) thread.state = State::kReady;
    }
  }

  [[noreturn]] void Deadlock() {
    unsigned at_warp = 0;
    for (const Thread& thread : threads_) at_warp += thread.state == State::kAtWarp;
    throw std::logic_error("block " + std::to_string(blockIdx.x) + ", " +
                           std::to_string(blockIdx.y) + ": " + std::to_string(waiting_) +
                           " threads wait at __syncthreads, " + std::to_string(at_warp) +
                           " for their warp, none goes on");
  }

  context::pooled_fixedsize_stack stacks_{kStackBytes};
  std::vector<char> shared_;
  std::vector<std::pair<const void*, std::unique_ptr<std::max_align_t[]>>> arrays_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  unsigned alive_ = 0, waiting_ = 0, current_ = 0;
  context::fiber scheduler_;
  std::exception_ptr failure_;
  ThreadOrder order_ = ThreadOrder::kAscending;
  int64_t launches_ = 0;
};

Device& TheDevice() {
  static Device device;
  return device;
}

// One kernel or copy at a time, whatever stream it is of; guards all that devices have.
std::mutex& DeviceMutex() {
  static std::mutex mutex;
  return mutex;
}
// Some stream is further.
std::condition_variable& Progress() {
  static std::condition_variable progress;
  return progress;
}

std::vector<EmulatedStream*>& Streams() {
  static std::vector<EmulatedStream*> streams;
  return streams;
}

// Goes on with a stream until `is_enough` says so behind an item, or it has to wait for another
// one. Whether it came further.
bool Advance(cudaStream_t stream, const std::function<bool()>& is_enough, bool* was_enough) {
  bool is_further = false, is_stuck = false;
  Memory(stream->device).Protect(PROT_READ | PROT_WRITE);
  try {
    while (!stream->waiting.empty() && !*was_enough && !is_stuck) {
      const Attempt attempt = stream->waiting.front();
      is_stuck = !attempt();
      if (is_stuck) continue;
      stream->waiting.pop_front();
      is_further = true;
      *was_enough = is_enough();
    }
  } catch (...) {
    stream->waiting.clear();
    Memory(stream->device).Protect(PROT_NONE);
    throw;
  }
  Memory(stream->device).Protect(PROT_NONE);
  Progress().notify_all();
  return is_further;
}

// Until `is_enough` says so behind an item; all of it where it never does. What has to wait for
// another stream lets one go on for which somebody waits, and the threads that have not come yet.
void Run(
    cudaStream_t stream, std::unique_lock<std::mutex>& lock,
    const std::function<bool()>& is_enough = [] { return false; }) {
  constexpr auto kPatience = std::chrono::minutes(2);
  bool was_enough = false;
  while (!stream->waiting.empty()) {
    bool is_further = Advance(stream, is_enough, &was_enough);
    if (was_enough) return;
    if (stream->waiting.empty()) return;
    for (EmulatedStream* other : std::vector(Streams())) {
      // One item of each: what nobody waits for must not be done before its time.
      bool was_one = false;
      if (other != stream)
        is_further = Advance(
                         other, [] { return true; }, &was_one) ||
                     is_further;
    }
    if (!is_further && Progress().wait_for(lock, kPatience) == std::cv_status::timeout) {
      throw std::logic_error("a stream of device " + std::to_string(stream->device) +
                             " waits for other streams, which do not come");
    }
  }
}

// All work of the thread's device, as some calls wait for.
void RunDevice(std::unique_lock<std::mutex>& lock) {
  for (EmulatedStream* stream : std::vector(Streams())) {
    if (stream->device == current_device) Run(stream, lock);
  }
}

cudaError_t PutAttempt(cudaStream_t stream, Attempt attempt) {
  if (stream == nullptr) return cudaErrorInvalidValue;
  if (stream->device != current_device) return cudaErrorInvalidResourceHandle;
  std::lock_guard lock(DeviceMutex());
  stream->waiting.push_back(std::move(attempt));
  return cudaSuccess;
}

cudaError_t Put(cudaStream_t stream, Work work) {
  if (stream != nullptr && stream->capture != nullptr) {
    if (stream->device != current_device) return cudaErrorInvalidResourceHandle;
    stream->capture->work->push_back(std::move(work));
    return cudaSuccess;
  }
  return PutAttempt(stream, [work = std::move(work)] {
    work();
    return true;
  });
}

}  // namespace

const char* Exchange(const void* value, size_t bytes, size_t* stride) {
  *stride = kSlotBytes;
  return TheDevice().Exchange(value, bytes);
}
char* SharedMemory() {
  char* const memory = TheDevice().Shared();
  return memory + (16 - reinterpret_cast<uintptr_t>(memory) % 16) % 16;
}

void* SharedArray(const void* key, size_t bytes) { return TheDevice().SharedArray(key, bytes); }

void CopyLater(void* to, const void* from, size_t bytes, size_t valid_bytes) {
  TheDevice().Current().open.push_back({to, from, bytes, valid_bytes});
}
void CommitCopies() {
  Thread& thread = TheDevice().Current();
  thread.groups.push_back(std::move(thread.open));
  thread.open.clear();
}
void WaitForCopies(int groups_left) {
  Thread& thread = TheDevice().Current();
  while (static_cast<int>(thread.groups.size()) > groups_left) {
    for (const Thread::Copy& copy : thread.groups.front()) {
      if (copy.valid > 0) std::memcpy(copy.to, copy.from, copy.valid);
      std::memset(static_cast<char*>(copy.to) + copy.valid, 0, copy.bytes - copy.valid);
    }
    thread.groups.pop_front();
  }
}

void SetThreadOrder(ThreadOrder order) { TheDevice().SetOrder(order); }
void SetMultiprocessors(int count) { multiprocessors = count; }
void SetDeviceMemory(size_t bytes) { Memory().SetLimit(bytes); }
size_t TakeMemoryPeak() { return Memory().TakePeak(); }
void ChangeMeetings(const std::function<void()>& change) {
  std::lock_guard lock(DeviceMutex());
  change();
  Progress().notify_all();
}
cudaError_t EnqueueMeeting(cudaStream_t stream, std::function<bool()> attempt) {
  return PutAttempt(stream, [stream, attempt = std::move(attempt)] {
    for (int device = 0; device < kDevices; ++device)
      Memory(device).Protect(PROT_READ | PROT_WRITE);
    const bool is_done = attempt();
    for (int device = 0; device < kDevices; ++device) {
      if (device != stream->device) Memory(device).Protect(PROT_NONE);
    }
    return is_done;
  });
}
int64_t LaunchCount() { return TheDevice().Launches(); }

cudaError_t Enqueue(const cudaLaunchConfig_t& config, std::function<void()> thread) {
  const auto bad = [](const dim3& d) { return d.x == 0 || d.y == 0 || d.z == 0; };
  if (bad(config.gridDim) || bad(config.blockDim) || config.blockDim.x > 1024 ||
      config.gridDim.y > 65535 || config.gridDim.z > 65535) {
    return cudaErrorInvalidValue;
  }
  return Put(config.stream,
             [config, thread = std::move(thread)] { TheDevice().RunKernel(config, thread); });
}

cudaError_t EnqueueWork(cudaStream_t stream, std::function<void()> work) {
  return Put(stream, std::move(work));
}

}  // namespace ponder::cuda_emulation

namespace emulation = ponder::cuda_emulation;

void __syncthreads() { emulation::TheDevice().Wait(emulation::State::kAtBlock); }
void __syncwarp(unsigned) { emulation::TheDevice().Wait(emulation::State::kAtWarp); }
int atomicAdd(int* address, int value) {
  const int before = *address;
  *address += value;
  return before;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    default:
      return "launch failure";
  }
}
cudaError_t cudaGetLastError() { return cudaSuccess; }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = emulation::kDevices;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= emulation::kDevices) return cudaErrorInvalidValue;
  emulation::current_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = {.name = "emulated",
                 .major = 8,
                 .minor = 0,
                 .multiProcessorCount = emulation::multiprocessors,
                 .totalGlobalMem = emulation::Memory(device).Limit(),
                 .sharedMemPerBlockOptin = 99 << 10};
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  std::lock_guard lock(emulation::DeviceMutex());
  return emulation::Memory().Allocate(memory, bytes);
}
// Waits for all work, as the driver does.
cudaError_t cudaFree(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  std::unique_lock lock(emulation::DeviceMutex());
  emulation::RunDevice(lock);
  if (!emulation::Memory().Holds(memory)) return cudaErrorInvalidValue;
  return emulation::Memory().Free(memory);
}
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  *memory = emulation::Pinned().Allocate(bytes);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  std::unique_lock lock(emulation::DeviceMutex());
  emulation::RunDevice(lock);
  return emulation::Pinned().Free(memory) ? cudaSuccess : cudaErrorInvalidValue;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  std::lock_guard lock(emulation::DeviceMutex());
  *total = emulation::Memory().Limit();
  *free = *total - emulation::Memory().Used();
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  std::lock_guard lock(emulation::DeviceMutex());
  *stream = new EmulatedStream{.device = emulation::current_device};
  emulation::Streams().push_back(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  std::unique_lock lock(emulation::DeviceMutex());
  emulation::Run(stream, lock);
  std::erase(emulation::Streams(), stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  std::unique_lock lock(emulation::DeviceMutex());
  emulation::Run(stream, lock);
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new EmulatedEvent;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->stream = stream;
  return emulation::Put(stream, [event, record = ++event->records] { event->reached = record; });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  std::unique_lock lock(emulation::DeviceMutex());
  const auto is_reached = [event] { return event->reached == event->records; };
  if (event->stream != nullptr && !is_reached()) emulation::Run(event->stream, lock, is_reached);
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return emulation::PutAttempt(
      stream, [event, record = event->records] { return event->reached >= record; });
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  {  // other streams may wait for it
    std::unique_lock lock(emulation::DeviceMutex());
    emulation::RunDevice(lock);
  }
  delete event;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (kind == cudaMemcpyHostToDevice && !emulation::Pinned().Holds(from)) {
    const char* const begin = static_cast<const char*>(from);
    auto copy = std::make_shared<std::vector<char>>(begin, begin + bytes);
    return emulation::Put(
        stream, [to, copy = std::move(copy)] { std::memcpy(to, copy->data(), copy->size()); });
  }
  return emulation::Put(stream, [to, from, bytes] { std::memcpy(to, from, bytes); });
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  return emulation::Put(stream, [memory, value, bytes] { std::memset(memory, value, bytes); });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->capture = new EmulatedGraph;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = std::exchange(stream->capture, nullptr);
  return *graph == nullptr ? cudaErrorInvalidValue : cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new EmulatedGraph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  for (const Work& work : *exec->work) {
    if (const cudaError_t error = emulation::Put(stream, work); error != cudaSuccess) return error;
  }
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
