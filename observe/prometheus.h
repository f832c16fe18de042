#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "observe/metric_sink.h"
#include "observe/run_reader.h"

namespace ponder {

// What Prometheus is told of a run.
struct PrometheusRun {
  std::string id;
  std::string status;  // as RunStatus has it
  RunState state;
  int64_t last_step = 0;                   // newest training step
  Metrics train;                           // of that step
  Metrics eval;                            // of the newest evaluation on held-out tasks
  std::map<std::string, double> verdicts;  // by status, over all training steps
  double dropped = 0;                      // completions, over all training steps
  double learnt_tokens = 0;                // over all training steps
  std::map<std::string, int64_t> events;   // by kind
  std::vector<WorkerRecord> workers;
  std::vector<TimedReading> readings;  // oldest first; the newest of each source and name counts
};

absl::StatusOr<PrometheusRun> ReadPrometheusRun(RunReader& reader, const std::string& id,
                                                const std::string& status);

// The runs in Prometheus' text format 0.0.4; every series has the label run, the run's id.
//
// A metric's name is that of the run, with ponder_ before it, _ for what a name may not hold, and
// units written out: "time/generate_s" is ponder_time_generate_seconds. Names that come from the
// configuration are labels: reward/X is ponder_reward_part{part="X"}, part/X
// ponder_verdict_part{part="X"}, audit/X_disagreement ponder_audit_disagreement{audit="X"},
// dropped/X ponder_step_dropped{reason="X"}. These are gauges of the newest step or evaluation;
// counters are what has happened since the run's begin. A resumed run's counters begin at its
// checkpoint: Prometheus takes that for a restart.
std::string PrometheusText(std::span<const PrometheusRun> runs);

// Of an HTTP answer with that text.
inline constexpr char kPrometheusContentType[] = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace ponder
