#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "observe/run_reader.h"

namespace ponder {

// Takes pieces of text in order.
using TextSink = std::function<absl::Status(std::string_view)>;

// A run's rows as text, for other programs: numbers of a phase are read at once, completions one by
// one.

// phase,step,written_at and a column for each metric that any step has; what a step lacks is empty.
absl::Status ExportMetricsCsv(RunReader& reader, const TextSink& sink);
// {"phase","step","policy_version","written_at","metrics":{...}}
absl::Status ExportMetricsJson(RunReader& reader, const TextSink& sink);
// {"sample","phase","step","task",...}; `tokens` adds ids, log-probs, entropies and clips.
absl::Status ExportCompletions(RunReader& reader, bool tokens, const TextSink& sink);
// {"id","step","kind","message","written_at"}
absl::Status ExportEvents(RunReader& reader, const TextSink& sink);

// A completion as ExportCompletions writes it, without line end.
std::string CompletionJson(const StoredCompletion& stored, bool tokens);

}  // namespace ponder
