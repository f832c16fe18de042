#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/random.h"
#include "base/records.h"
#include "base/status.h"
#include "tasks/task_source.h"

namespace ponder {

// What a generator drew: the task and the text that decides its split. Questions that differ in
// spelling alone (35 + 47 and 47 + 35) share it.
struct DrawnQuestion {
  Task task;
  std::string canonical;
};

// Draws questions of one kind. Stateless.
class QuestionGenerator {
 public:
  virtual ~QuestionGenerator() = default;
  virtual std::string Name()
      const = 0;  // "arithmetic": the stream of random numbers and the tasks' source
  virtual std::string Describe() const = 0;  // settings in words
  // Empty where this draw led nowhere (a target out of range); the caller draws again from the same
  // stream.
  virtual std::optional<DrawnQuestion> Draw(RandomStream& stream) const = 0;
};

absl::StatusOr<std::unique_ptr<QuestionGenerator>> CreateArithmeticGenerator(
    const ArithmeticSettings& settings);
absl::StatusOr<std::unique_ptr<QuestionGenerator>> CreateCountdownGenerator(
    const CountdownSettings& settings);

// Whether a question belongs to the held-out split: a property of its canonical text alone, never
// of a run's seed.
bool IsHeldOut(std::string_view canonical, double held_out_share);

// Endless: task number i of a split is the first draw of stream (seed, split, i) that belongs to
// the split. Step s has the numbers s * count ... s * count + count - 1; a question that the step
// already has is replaced by numbers that no step uses.
absl::StatusOr<std::unique_ptr<TaskSource>> CreateProceduralSource(
    std::unique_ptr<QuestionGenerator> generator, uint64_t seed, Split split,
    double held_out_share);

}  // namespace ponder
