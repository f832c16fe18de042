#include "tasks/procedural.h"

#include <absl/container/flat_hash_set.h>

#include <utility>

namespace ponder {
namespace {

// Draws for one task before its settings are called impossible. Enough for a split of 0.1 % of the
// questions and a generator that keeps one draw in ten: 0.9999^200000 is 2e-9.
constexpr int64_t kMaxDraws = 200'000;
// A step whose questions are nearly all the questions there are needs many replacements; beyond
// these it is refused.
constexpr int64_t kReplacementsPerTask = 200;
// Numbers from here on are replacements, 2^24 to a step.
constexpr uint64_t kFirstReplacement = uint64_t{1} << 62;
constexpr int64_t kMaxCount = int64_t{1} << 16;

const char* SplitName(Split split) { return split == Split::kTrain ? "train" : "held-out"; }

class ProceduralSource : public TaskSource {
 public:
  ProceduralSource(std::unique_ptr<QuestionGenerator> generator, uint64_t seed, Split split,
                   double held_out_share)
      : generator_(std::move(generator)),
        key_(MakeRandomKey(seed, fmt::format("tasks/{}/{}", generator_->Name(), SplitName(split)))),
        split_(split),
        held_out_share_(held_out_share) {}

  std::string Describe() const override {
    return fmt::format("{}, {} split", generator_->Describe(), SplitName(split_));
  }

  absl::StatusOr<std::vector<Task>> TasksFor(int64_t step, int64_t count) override {
    if (step < 0 || count < 1 || count > kMaxCount) {
      return InvalidArgument("expected a step from 0 and 1 to {} tasks, found step {} and {} tasks",
                             kMaxCount, step, count);
    }
    std::vector<Task> tasks;
    absl::flat_hash_set<std::string> seen;
    uint64_t replacement = kFirstReplacement + (static_cast<uint64_t>(step) << 24);
    int64_t replacements_left = kReplacementsPerTask * count;
    for (int64_t i = 0; i < count; ++i) {
      PONDER_ASSIGN_OR_RETURN(DrawnQuestion drawn,
                              TaskNumber(static_cast<uint64_t>(step * count + i)));
      while (!seen.insert(drawn.canonical).second) {
        if (replacements_left-- == 0) {
          return FailedPrecondition(
              "{}: a step wants {} different questions, but only {} were found; widen the ranges "
              "or lower the "
              "number of tasks a step",
              Describe(), count, tasks.size());
        }
        PONDER_ASSIGN_OR_RETURN(drawn, TaskNumber(replacement++));
      }
      tasks.push_back(std::move(drawn.task));
    }
    return tasks;
  }

  absl::StatusOr<DrawnQuestion> TaskNumber(uint64_t number) const {
    RandomStream stream(key_, number);
    for (int64_t draw = 0; draw < kMaxDraws; ++draw) {
      std::optional<DrawnQuestion> drawn = generator_->Draw(stream);
      if (drawn && IsHeldOut(drawn->canonical, held_out_share_) == (split_ == Split::kHeldOut)) {
        return *std::move(drawn);
      }
    }
    return FailedPrecondition(
        "{}: no question was found in {} draws (held_out_share = {}); there are too few different "
        "questions, "
        "widen the ranges",
        Describe(), kMaxDraws, held_out_share_);
  }

 private:
  std::unique_ptr<QuestionGenerator> generator_;
  RandomKey key_;
  Split split_;
  double held_out_share_;
};

}  // namespace

bool IsHeldOut(std::string_view canonical, double held_out_share) {
  return RandomUniform(MakeRandomKey(0, "held-out split"), StableHash(canonical)) < held_out_share;
}

absl::StatusOr<std::unique_ptr<TaskSource>> CreateProceduralSource(
    std::unique_ptr<QuestionGenerator> generator, uint64_t seed, Split split,
    double held_out_share) {
  auto source =
      std::make_unique<ProceduralSource>(std::move(generator), seed, split, held_out_share);
  PONDER_RETURN_IF_ERROR(source->TaskNumber(0).status());
  return source;
}

}  // namespace ponder
