#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "app/config.h"
#include "base/check.h"
#include "tests/fuzz/fuzz_seeds.h"

// A configuration file and overrides from anywhere: a status, or a configuration whose dump reads
// back to the same. Everything behind the first zero byte is one override a line.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t zero = input.find('\0');
  std::vector<std::string> overrides;
  if (zero != std::string_view::npos) {
    std::string_view rest = input.substr(zero + 1);
    while (!rest.empty() && overrides.size() < 8) {
      const size_t end = rest.find('\n');
      overrides.emplace_back(rest.substr(0, end));
      rest = end == std::string_view::npos ? "" : rest.substr(end + 1);
    }
  }
  const auto config = ponder::ParseConfig(input.substr(0, zero), "fuzz.toml", overrides);
  if (!config.ok()) return 0;
  const std::string dump = ponder::DumpConfig(*config);
  const auto back = ponder::ParseConfig(dump, "dump.toml");
  PONDER_CHECK(back.ok(), std::string(back.status().message()));
  PONDER_CHECK(ponder::DumpConfig(*back) == dump);
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  const std::string file =
      "[run]\nseed = 7\nname = \"first\"\n[rollout]\ntemperature = 0.5\n"
      "[chat]\ntemplate = 'custom'\n[chat.custom]\nuser_turn = \"U {content}\\n\"\n"
      "assistant_turn = \"\"\"A {content}\"\"\"\nstops = [\"</s>\"]\n";
  const std::string overrides = "run.steps=3\nrun.name=bare\nchat.custom.stops=[\"a\", 'b']";
  return {file + std::string(1, '\0') + overrides, "[run]\nsteps = 1\n", ponder::DumpConfig({})};
}
