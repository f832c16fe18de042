#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/status.h"

namespace ponder {

// Memory that holds the working weights of one policy version at a time, written by the learner and
// read by any number of processes that got its file descriptor. A page with the header comes first.
//
// Readers need no lock: the sequence number is read before and after. It changes before the first
// byte of another version is written, so who finds the same one twice has copied bytes of one
// version alone.
// The file can neither be cut off under a reader nor written by it (sealed).
struct SegmentHeader {
  static constexpr uint64_t kMagic = 0x3174676577646e70;  // "pndwegt1"
  static constexpr int64_t kNoVersion = -1;

  uint64_t magic = kMagic;
  uint64_t layout = 0;                // hash of the model's fingerprint
  int64_t bytes = 0;                  // of the weights
  std::atomic<int64_t> sequence = 0;  // counts what was begun
  std::atomic<int64_t> version = kNoVersion;
  std::atomic<int64_t> ready = 0;  // bytes, from the first one on, that are written already
};
static_assert(std::atomic<int64_t>::is_always_lock_free);

inline constexpr int64_t kSegmentHeaderBytes = 4096;

// DATA_LOSS where `page`, the first bytes of a segment, does not announce `bytes` of weights of
// `layout`.
absl::Status CheckSegmentHeader(std::string_view page, uint64_t layout, int64_t bytes);

// The learner's side.
class WeightSegment {
 public:
  // Memory that other processes can map, or this process's own where the system gives none of that.
  // RESOURCE_EXHAUSTED where there is none at all.
  static absl::StatusOr<std::unique_ptr<WeightSegment>> Create(uint64_t layout, int64_t bytes);
  ~WeightSegment();
  WeightSegment(const WeightSegment&) = delete;
  WeightSegment& operator=(const WeightSegment&) = delete;

  int Descriptor() const { return descriptor_; }  // -1: not for other processes
  int64_t Bytes() const { return bytes_; }
  char* Data() const { return static_cast<char*>(memory_) + kSegmentHeaderBytes; }

  // Another version is written from here on, front to back; kNoVersion: nothing useful is.
  void Begin(int64_t version);
  void Advance(int64_t ready);

 private:
  WeightSegment(int descriptor, void* memory, int64_t bytes)
      : descriptor_(descriptor), memory_(memory), bytes_(bytes) {}
  SegmentHeader& Header() const { return *static_cast<SegmentHeader*>(memory_); }

  const int descriptor_;
  void* const memory_;
  const int64_t bytes_;
};

// A reader's side: the segment behind a descriptor that came from another process.
class SegmentView {
 public:
  // Takes the descriptor. DATA_LOSS where it is no sealed segment of `layout` and `bytes`.
  static absl::StatusOr<std::unique_ptr<SegmentView>> Map(int descriptor, uint64_t layout,
                                                          int64_t bytes);
  ~SegmentView();
  SegmentView(const SegmentView&) = delete;
  SegmentView& operator=(const SegmentView&) = delete;

  // Whether `descriptor` is the same segment.
  bool IsOf(int descriptor) const;
  const char* Data() const { return static_cast<const char*>(memory_) + kSegmentHeaderBytes; }
  int64_t Sequence() const;
  int64_t Version() const;
  int64_t Ready() const;

 private:
  SegmentView(int descriptor, const void* memory, int64_t mapped)
      : descriptor_(descriptor), memory_(memory), mapped_(mapped) {}
  const SegmentHeader& Header() const { return *static_cast<const SegmentHeader*>(memory_); }

  const int descriptor_;
  const void* const memory_;
  const int64_t mapped_;
};

}  // namespace ponder
