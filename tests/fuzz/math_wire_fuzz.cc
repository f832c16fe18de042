// The messages between the verifier and its processes for algebra, both ways: any bytes are a
// message or refused, and any texts arrive as they were sent.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "tests/fuzz/fuzz_seeds.h"
#include "verifiers/math/wire.h"

namespace {

using namespace ponder::math;

void CheckArrives(std::string_view gold, std::string_view answer, const CompareOptions& options) {
  const auto request = DecodeRequest(EncodeRequest(gold, answer, options));
  PONDER_CHECK(request && request->gold == gold && request->answer == answer);
  PONDER_CHECK(request->options.decimal_places == options.decimal_places &&
               request->options.percent_either_way == options.percent_either_way &&
               request->options.units_must_match == options.units_must_match &&
               request->options.lenient == options.lenient);
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  return {EncodeRequest("1/2", "\\frac{1}{2}", {}),
          EncodeRequest("", "x", {.decimal_places = 4, .units_must_match = true, .lenient = true}),
          EncodeReply({AnswerOutcome::kEqual, ""}),
          EncodeReply({AnswerOutcome::kUnreadableAnswer, "the list is too long"})};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (const auto request = DecodeRequest(input)) {
    PONDER_CHECK(request->options.decimal_places >= -1 &&
                 request->options.decimal_places <= kMostDecimalPlaces);
    PONDER_CHECK(request->gold.size() + request->answer.size() < input.size());
    CheckArrives(request->gold, request->answer, request->options);
  }
  if (const auto reply = DecodeReply(input)) PONDER_CHECK(EncodeReply(*reply) == input);
  if (size < 2) return 0;
  // The first byte gives the options, the second where the gold ends.
  const size_t split = data[1] % (size - 1);
  CheckArrives(input.substr(2, split), input.substr(2 + split),
               {.decimal_places = data[0] % (kMostDecimalPlaces + 2) - 1,
                .percent_either_way = (data[0] & 1) != 0,
                .units_must_match = (data[0] & 2) != 0,
                .lenient = (data[0] & 4) != 0});
  const auto outcome = static_cast<AnswerOutcome>(data[0] % 5);
  const auto reply = DecodeReply(EncodeReply({outcome, std::string(input)}));
  PONDER_CHECK(reply && reply->outcome == outcome && reply->reason == input);
  return 0;
}
