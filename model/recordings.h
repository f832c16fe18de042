#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "kernels/backend.h"

namespace ponder {

// Forwards of decoding batches, recorded by size: launching some two hundred kernels one by one
// takes a GPU's host longer than the kernels themselves. Batches are padded to one of a few sizes,
// and a recording is good for as long as everything lies where it lay.
class Recordings {
 public:
  // All that a recorded forward has burnt in.
  struct Key {
    int64_t rows = 0;  // a size of PaddedRows
    // Of attention's plan (DeviceBatch).
    bool has_runs = false;
    int64_t segments = 0;
    int64_t max_keys = 0;
    const void* weights = nullptr;
    const void* cache = nullptr;
    const void* batch = nullptr;
    const void* scratch = nullptr;
    int64_t scratch_rows = 0;  // decide where arrays lie in it
    const void* rope_table = nullptr;

    auto operator<=>(const Key&) const = default;
  };

  // The rows that a batch of `rows` sequences is padded to: at most an eighth more.
  static int64_t PaddedRows(int64_t rows);

  // What the longest sequence's keys are rounded up to: segments times a power of two.
  static int64_t PaddedKeys(int64_t keys);

  // Does `work`: the first time with a key as it is, the second time recorded, from then on by
  // replay.
  void Run(kernels::Backend& backend, const Key& key, const std::function<void()>& work);

  int64_t Replays() const { return replays_; }

 private:
  std::map<Key, std::unique_ptr<kernels::Recording>> recordings_;  // null: seen once
  int64_t replays_ = 0;
};

}  // namespace ponder
