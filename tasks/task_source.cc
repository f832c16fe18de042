#include "tasks/task_source.h"

#include "tasks/procedural.h"
#include "tasks/task_file.h"

namespace ponder {

absl::StatusOr<std::unique_ptr<TaskSource>> CreateTaskSource(const TaskSourceOptions& options) {
  // Written so that NaN fails too.
  if (!(options.held_out_share >= 0 && options.held_out_share <= 1)) {
    return InvalidArgument("expected a held_out_share from 0 to 1, found {}",
                           options.held_out_share);
  }
  if (options.kind == "file") {
    if (options.path.empty())
      return InvalidArgument("tasks of kind \"file\" need a path to JSON lines");
    return CreateFileSource(options);
  }
  std::unique_ptr<QuestionGenerator> generator;
  if (options.kind == "arithmetic") {
    PONDER_ASSIGN_OR_RETURN(generator, CreateArithmeticGenerator(options.arithmetic));
  } else if (options.kind == "countdown") {
    PONDER_ASSIGN_OR_RETURN(generator, CreateCountdownGenerator(options.countdown));
  } else {
    return InvalidArgument(
        "no task source is called \"{}\"; known are \"arithmetic\", \"countdown\", \"file\"",
        options.kind);
  }
  return CreateProceduralSource(std::move(generator), options.seed, options.split,
                                options.held_out_share);
}

}  // namespace ponder
