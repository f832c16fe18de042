#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/records.h"
#include "base/status.h"
#include "tasks/task_source.h"

namespace ponder {

// The tasks of JSON lines, of both splits, in the file's order. Blank lines are skipped; anything
// else that is not a whole task is an error "name:line: expected ..., found ...". Uses the fields'
// names, `gold_after` and `verifier` of `options`. A field "data" (an object or a string) goes to
// Task::data.
absl::StatusOr<std::vector<Task>> ParseTaskLines(std::string_view content, const std::string& name,
                                                 const TaskSourceOptions& options);

// The tasks of `options.path`'s split, an epoch at a time in the order of RandomPermutation(seed,
// epoch): an epoch has as many whole steps as fit, so what step s gets is a pure function of the
// file, the seed, s and the count.
absl::StatusOr<std::unique_ptr<TaskSource>> CreateFileSource(const TaskSourceOptions& options);

}  // namespace ponder
