#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/records.h"
#include "rollout/engine.h"

namespace ponder {

// One completion under way. Its tokens are known up to the last one sampled; `pending` more are
// being drawn on the device. Keys and values are in the cache, or will be by what was launched, for
// the first `computed` of them. Running the rest and sampling behind the last is all that ever
// happens to it, so prefill, decode and recomputing after a preemption are one case.
struct Sequence {
  std::shared_ptr<const RolloutRequest> request;
  Completion completion;
  std::vector<int32_t> tokens;  // the prompt, then the completion
  std::vector<int32_t> pages;   // cover at least `computed` tokens
  int64_t computed = 0;
  int64_t published = 0;  // pages whose content others may find
  int64_t pending = 0;
  int64_t draw = 0;        // which one of the last step launched, where tokens are pending
  bool shareable = true;   // false once its pages mix keys and values of two policy versions
  std::string text_bytes;  // of the completion without special tokens; kept only where there are
                           // stop strings

  int64_t Remaining() const { return static_cast<int64_t>(tokens.size()) + pending - computed; }
  // Of the completion, with those that are being drawn.
  int64_t Drawn() const { return static_cast<int64_t>(completion.token_ids.size()) + pending; }
  // No token is to be drawn any more: its last one is on its way.
  bool IsFull() const { return Drawn() >= request->sampling.max_new_tokens; }
};

}  // namespace ponder
