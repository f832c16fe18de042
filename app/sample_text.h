#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "observe/run_store.h"

namespace ponder {

struct SampleTextOptions {
  int64_t columns = 80;
  bool colours = false;
  bool prompt = false;  // the whole prompt instead of the question
  // Text of each token id; empty: tokens are not coloured.
  const std::vector<std::string>* vocabulary = nullptr;
};

// A completion with all that was made of it, for a terminal: question, gold, answer, verdict,
// reward, log-probs. Nothing in it can steer the terminal. With colours, tokens of the answer are
// the redder the less likely they were.
std::string SampleText(const StoredCompletion& stored, const SampleTextOptions& options);

// The colours of tokens, in words that wear them; empty where there are none.
std::string ColourLegend(const SampleTextOptions& options);

}  // namespace ponder
