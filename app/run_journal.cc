#include "app/run_journal.h"

#include <utility>

namespace ponder {

absl::Status RunJournal::Record(StepRecord record) {
  Metrics named;
  for (const auto& [name, value] : record.metrics) {
    named[record.phase == kTrainPhase || name.starts_with("eval/") ? name
                                                                   : record.phase + "/" + name] =
        value;
  }
  if (record.phase != kUntrainedPhase) {  // the curve of step 0 is the trained one's
    for (MetricSink* sink : parts_.sinks) {
      PONDER_RETURN_IF_ERROR(sink->WriteStep(record.step, named));
      if (record.phase == kTrainPhase) {
        PONDER_RETURN_IF_ERROR(sink->WriteGroups(record.step, record.groups));
      }
    }
  }
  return parts_.store->WriteStep(std::move(record));
}

absl::Status RunJournal::Checkpoint(const CheckpointName& name) {
  if (parts_.directory == nullptr) return absl::OkStatus();
  for (MetricSink* sink : parts_.sinks) PONDER_RETURN_IF_ERROR(sink->Flush());
  // A resumed run takes the steps up to its checkpoint from the store.
  PONDER_RETURN_IF_ERROR(parts_.store->Flush());
  PONDER_RETURN_IF_ERROR(parts_.trainer->SaveCheckpoint(parts_.directory->CheckpointPath(name)));
  parts_.directory->PruneCheckpoints(config_.run.keep_checkpoints);
  return parts_.store->WriteEvent(
      {.step = name.step, .kind = "checkpoint", .message = name.ToString()});
}

}  // namespace ponder
