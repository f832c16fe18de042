#include <string_view>

#include "base/check.h"
#include "tests/fuzz/fuzz_seeds.h"
#include "verifiers/item_json.h"

// Lines that `ponder verify` reads and answers of command verifiers: any text gives an item or an
// error, and a verdict that is one; what was read is written and read back to the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const nlohmann::json value = ponder::ParseJson(text);
  const ponder::Verdict verdict = ponder::VerdictFromJson(value);
  PONDER_CHECK(verdict.status != ponder::VerdictStatus::kUnspecified);
  PONDER_CHECK(verdict.score >= 0 && verdict.score <= 1);
  const std::string line = ponder::Dump(ponder::ToJson(verdict));
  PONDER_CHECK(line.find('\n') == std::string::npos);
  PONDER_CHECK(ponder::Dump(ponder::ToJson(ponder::VerdictFromJson(ponder::ParseJson(line)))) ==
               line);
  const auto item = ponder::ItemFromJson(value, text, "math");
  if (!item.ok()) return 0;
  const std::string written = ponder::Dump(ponder::ToJson(*item));
  const auto back = ponder::ItemFromJson(ponder::ParseJson(written), written, "math");
  PONDER_CHECK(back.ok());
  PONDER_CHECK(ponder::Dump(ponder::ToJson(*back)) == written);
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  return {
      R"({"id":7,"status":"WRONG","score":0.25,"parts":{"format":1},"extracted":"x","reason":"y"})",
      R"({"id":"a","score":true})", R"({"id":1,"gold":5,"completion":"so \\boxed{5}"})",
      R"({"id":1,"task":{"id":"t","kind":"code","source":"s","gold":"","data":{"tests":[[1]]},)"
      R"("difficulty":0.5},"completion":"\ud83d\ude00"})",
      "{\"gold\":" + std::string(200, '[') + std::string(200, ']') + ",\"completion\":\"\"}"};
}
