#include "app/bench_start.h"

#include <absl/time/clock.h>
#include <fmt/format.h>

#include "base/child_process.h"

namespace ponder {

absl::Status BenchStart(const BenchSpeedOptions& options, const BenchReport& report) {
  const SessionOptions& session = options.session;
  const std::vector<std::string> arguments = {ProgramPath(),
                                              "generate",
                                              "--model",
                                              session.model_directory,
                                              "--dtype",
                                              session.dtype,
                                              "--isa",
                                              session.isa,
                                              "--threads",
                                              fmt::format("{}", session.threads),
                                              "--prompt",
                                              "What is 12 + 7?",
                                              "--temperature",
                                              "1",
                                              "--max-new-tokens",
                                              "1"};
  absl::Status status;
  const BenchRow row = Repeat("start", "s", options.repeats, [&] {
    const absl::Time start = absl::Now();
    absl::StatusOr<ChildProcess> child = ChildProcess::Start(arguments);
    status.Update(child.status());
    if (!child.ok()) return 0.0;
    status.Update(child->ReadLine(absl::Minutes(5)).status());
    return absl::ToDoubleSeconds(absl::Now() - start);
  });
  PONDER_RETURN_IF_ERROR(
      Annotate(status, "the process that should sample a token gave none; run `ponder generate`"));
  report(row);
  return absl::OkStatus();
}

}  // namespace ponder
