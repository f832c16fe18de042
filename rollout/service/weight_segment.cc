#include "rollout/service/weight_segment.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>

namespace ponder {
namespace {

#ifndef F_SEAL_FUTURE_WRITE
constexpr int F_SEAL_FUTURE_WRITE = 0x0010;  // Linux 5.1
#endif
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;

// A file in memory without a name: it is gone with the last process that has it, however that ends.
// -1 where the system cannot make one.
int MakeFile(int64_t bytes) {
  const int file = memfd_create("ponder weights", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (file < 0) return -1;
  // Memory that is lacking is found missing here and not by a signal at some later write.
  if (fallocate(file, 0, 0, bytes) == 0) return file;
  close(file);
  return -1;
}

}  // namespace

absl::Status CheckSegmentHeader(std::string_view page, uint64_t layout, int64_t bytes) {
  if (page.size() < sizeof(SegmentHeader)) {
    return DataLoss("shared weights: expected a header of {} bytes, found {}",
                    sizeof(SegmentHeader), page.size());
  }
  const auto field = [&](size_t offset) {
    uint64_t value = 0;
    std::memcpy(&value, page.data() + offset, sizeof(value));
    return value;
  };
  const uint64_t magic = field(offsetof(SegmentHeader, magic));
  if (magic != SegmentHeader::kMagic) {
    return DataLoss("shared weights: expected {:016x} at the start, found {:016x}",
                    SegmentHeader::kMagic, magic);
  }
  if (const uint64_t found = field(offsetof(SegmentHeader, layout)); found != layout) {
    return DataLoss("shared weights: expected layout {:016x}, found {:016x}", layout, found);
  }
  const auto found = static_cast<int64_t>(field(offsetof(SegmentHeader, bytes)));
  if (found != bytes) return DataLoss("shared weights: expected {} bytes, found {}", bytes, found);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<WeightSegment>> WeightSegment::Create(uint64_t layout,
                                                                     int64_t bytes) {
  const int64_t mapped = kSegmentHeaderBytes + bytes;
  int file = MakeFile(mapped);
  void* memory =
      mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
           (file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED) | MAP_POPULATE, file, 0);
  if (memory == MAP_FAILED) {
    if (file >= 0) close(file);
    return ResourceExhausted("expected {} MiB of memory for published weights: {}", mapped >> 20,
                             std::strerror(errno));
  }
  // Nobody else may write, and nobody take pages away: from an old system that cannot promise it no
  // process is given the file.
  if (file >= 0 && fcntl(file, F_ADD_SEALS, kSeals) != 0) {
    close(file);
    file = -1;
  }
  auto* header = new (memory) SegmentHeader();
  header->layout = layout;
  header->bytes = bytes;
  return std::unique_ptr<WeightSegment>(new WeightSegment(file, memory, bytes));
}

WeightSegment::~WeightSegment() {
  munmap(memory_, kSegmentHeaderBytes + bytes_);
  if (descriptor_ >= 0) close(descriptor_);
}

void WeightSegment::Begin(int64_t version) {
  Header().sequence.fetch_add(1, std::memory_order_relaxed);
  // Before everything that is written now. A fence for releases would let stores past the caches,
  // which weights are written with, overtake the number.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  Header().version.store(version, std::memory_order_relaxed);
  Header().ready.store(0, std::memory_order_release);
}

void WeightSegment::Advance(int64_t ready) {
  Header().ready.store(ready, std::memory_order_release);
}

absl::StatusOr<std::unique_ptr<SegmentView>> SegmentView::Map(int descriptor, uint64_t layout,
                                                              int64_t bytes) {
  const int64_t expected = kSegmentHeaderBytes + bytes;
  const auto refuse = [&](absl::Status status) {
    close(descriptor);
    return status;
  };
  // Without the seals a page could vanish while it is read, and the process would die of it.
  const int seals = fcntl(descriptor, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) {
    return refuse(DataLoss("shared weights: expected a sealed file, found seals {:x}", seals));
  }
  struct stat status = {};
  if (fstat(descriptor, &status) != 0 || status.st_size != expected) {
    return refuse(DataLoss("shared weights: expected a file of {} bytes, found {}", expected,
                           static_cast<int64_t>(status.st_size)));
  }
  void* memory = mmap(nullptr, expected, PROT_READ, MAP_SHARED | MAP_POPULATE, descriptor, 0);
  if (memory == MAP_FAILED) {
    return refuse(
        Unavailable("shared weights: cannot map {} bytes: {}", expected, std::strerror(errno)));
  }
  std::unique_ptr<SegmentView> view(new SegmentView(descriptor, memory, expected));
  PONDER_RETURN_IF_ERROR(
      CheckSegmentHeader({static_cast<const char*>(memory), sizeof(SegmentHeader)}, layout, bytes));
  return view;
}

SegmentView::~SegmentView() {
  munmap(const_cast<void*>(memory_), mapped_);
  close(descriptor_);
}

bool SegmentView::IsOf(int descriptor) const {
  struct stat ours = {}, other = {};
  return fstat(descriptor_, &ours) == 0 && fstat(descriptor, &other) == 0 &&
         ours.st_dev == other.st_dev && ours.st_ino == other.st_ino;
}

int64_t SegmentView::Sequence() const {
  std::atomic_thread_fence(std::memory_order_acquire);  // behind every byte read so far
  return Header().sequence.load(std::memory_order_acquire);
}

int64_t SegmentView::Version() const { return Header().version.load(std::memory_order_acquire); }

int64_t SegmentView::Ready() const { return Header().ready.load(std::memory_order_acquire); }

}  // namespace ponder
