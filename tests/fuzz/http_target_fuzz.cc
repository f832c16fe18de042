#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "observe/http_guard.h"
#include "observe/http_target.h"
#include "tests/fuzz/fuzz_seeds.h"

// A request's address from anywhere, then its Host and Cookie, a line each: a status, or parts
// within the limits that are the same when they are written and read again.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto take_line = [&] {
    const std::string_view line = input.substr(0, input.find('\n'));
    input.remove_prefix(std::min(line.size() + 1, input.size()));
    return line;
  };
  const ponder::HttpTargetLimits limits;
  const auto target = ponder::ParseHttpTarget(take_line(), limits);
  if (!target.ok()) return 0;
  PONDER_CHECK(target->path.starts_with('/') && target->query.size() <= limits.parameters);
  std::string again = "/" + ponder::PercentEncode(std::string_view(target->path).substr(1));
  char mark = '?';
  for (const auto& [name, value] : target->query) {
    PONDER_CHECK(!name.empty() && name.size() <= limits.name_bytes);
    PONDER_CHECK(value.size() <= limits.value_bytes);
    again += mark + ponder::PercentEncode(name) + "=" + ponder::PercentEncode(value);
    mark = '&';
  }
  ponder::HttpTargetLimits longer;
  longer.target_bytes = 3 * limits.target_bytes + 2 * limits.parameters;
  const auto parsed = ponder::ParseHttpTarget(again, longer);
  PONDER_CHECK(parsed.ok() && parsed->path == target->path && parsed->query == target->query);

  const ponder::HttpGuard guard{.address = "127.0.0.1", .port = 1, .token = "0123456789abcdef"};
  const ponder::HttpRequest request{.path = target->path,
                                    .query = target->query,
                                    .host = std::string(take_line()),
                                    .cookie = std::string(take_line())};
  const auto refusal = guard.Refusal(request);
  if (!refusal) PONDER_CHECK(request.cookie.find("0123456789abcdef") != std::string::npos);
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  return {"/api/runs/a%20b~2/metrics?phase=train&names=reward%2Fmean,length%2Fmean&after=0",
          "/?token=0123456789abcdef\nlocalhost:6100\n",
          "/assets/../../etc/passwd\n[::1]:1\na=b; ponder_token_1=0123456789abcdef; c=d",
          "/%e2%82%ac?a&b=+&c=%2b&&\n127.0.0.1\nponder_token_1=0123456789abcdef"};
}
