#include "tasks/task_source.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <set>

#include "tasks/procedural.h"

namespace ponder {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// An independent reading of "35 + 47*6": products first, then from left to right. Numbers, blanks
// and + - * only.
int64_t Evaluate(const std::string& expression) {
  std::string text = expression;
  std::erase(text, ' ');
  int64_t sum = 0, product = 1, sign = 1;
  size_t position = 0;
  while (position < text.size()) {
    size_t used = 0;
    product *= std::stoll(text.substr(position), &used);
    position += used;
    const char c = position < text.size() ? text[position++] : '+';
    if (c == '*') continue;
    sum += sign * product;
    product = 1;
    sign = c == '-' ? -1 : 1;
  }
  return sum;
}

// "35 + 47 * 6" out of "What is 35 + 47 * 6?"
std::string ExpressionOf(const Task& task) {
  return task.question.substr(8, task.question.size() - 9);
}

// Each sentence "x = y = z." of a worked solution must be true; returns the last value. A leading
// minus is a sign.
int64_t CheckSolution(const std::string& solution) {
  int64_t last = 0;
  std::string rest = solution;
  while (!rest.empty()) {
    const size_t end = rest.find('.');
    EXPECT_NE(end, std::string::npos) << solution;
    std::string sentence = rest.substr(0, end);
    rest.erase(0, std::min(rest.size(), end + 2));
    std::set<int64_t> values;
    size_t equals = 0;
    do {
      equals = sentence.find('=');
      values.insert(last = Evaluate(sentence.substr(0, equals)));
      sentence.erase(0, equals + 1);
    } while (equals != std::string::npos);
    EXPECT_EQ(values.size(), 1) << solution;
  }
  return last;
}

std::vector<Task> Draw(const TaskSourceOptions& options, int64_t step, int64_t count) {
  auto source = CreateTaskSource(options);
  EXPECT_TRUE(source.ok()) << source.status();
  auto tasks = (*source)->TasksFor(step, count);
  EXPECT_TRUE(tasks.ok()) << tasks.status();
  return *tasks;
}

TEST(Arithmetic, GoldsAndWorkedSolutionsAreTrueInEveryForm) {
  for (const std::string form :
       {"a+b", "a-b", "a*b", "a+b*c", "a*b-c", "a+b-c", "a-b*c+d", "a*b*c", "a*b+c*d", "a-b-c-d"}) {
    for (const int64_t factor_high : {9, 9999}) {
      const TaskSourceOptions options{
          .arithmetic = {.form = form, .low = 0, .high = 999, .factor_high = factor_high}};
      for (const Task& task : Draw(options, 3, 100)) {
        EXPECT_EQ(std::to_string(Evaluate(ExpressionOf(task))), task.gold) << task.question;
        EXPECT_EQ(std::to_string(CheckSolution(task.solution)), task.gold) << task.solution;
        EXPECT_EQ(task.kind, "math");
        EXPECT_EQ(task.source, "arithmetic");
      }
    }
  }
}

TEST(Arithmetic, OperandsKeepTheirRanges) {
  const TaskSourceOptions options{
      .arithmetic = {.form = "a+b*c", .low = 10, .high = 12, .factor_low = 7, .factor_high = 9}};
  std::set<std::string> seen;
  for (const Task& task : Draw(options, 0, 20)) {
    int a = 0, b = 0, c = 0;
    ASSERT_EQ(std::sscanf(task.question.c_str(), "What is %d + %d * %d?", &a, &b, &c), 3);
    EXPECT_THAT(a, AllOf(testing::Ge(10), testing::Le(12)));
    EXPECT_THAT(b, AllOf(testing::Ge(10), testing::Le(12)));
    EXPECT_THAT(c, AllOf(testing::Ge(7), testing::Le(9)));
    seen.insert(task.id);
  }
  EXPECT_EQ(seen.size(), 20);
}

TEST(Arithmetic, SplitsAProductIntoItsPlaces) {
  const auto solution_of = [](const std::string& form, int64_t operand, int64_t factor) {
    const TaskSourceOptions options{.arithmetic = {.form = form,
                                                   .low = operand,
                                                   .high = operand,
                                                   .factor_low = factor,
                                                   .factor_high = factor},
                                    .held_out_share = 0};
    return Draw(options, 0, 1)[0].solution;
  };
  EXPECT_EQ(solution_of("a+b*c", 47, 6), "47*6 = 40*6 + 7*6 = 240 + 42 = 282. 47 + 282 = 329.");
  EXPECT_EQ(solution_of("a*b", 40, 6), "40*6 = 240.");
  EXPECT_EQ(solution_of("a*b", 307, 6), "307*6 = 300*6 + 7*6 = 1800 + 42 = 1842.");
  EXPECT_EQ(solution_of("a*b", 47, 36), "47*36 = 47*30 + 47*6 = 1410 + 282 = 1692.");
  EXPECT_EQ(solution_of("a*b", 0, 6), "0*6 = 0.");
  EXPECT_EQ(solution_of("a-b-c", 7, 2), "7 - 7 = 0. 0 - 7 = -7.");
}

TEST(Arithmetic, DifficultyCountsCarriesAndBorrows) {
  const auto difficulty_of = [](const std::string& form, int64_t operand, int64_t factor) {
    const TaskSourceOptions options{.arithmetic = {.form = form,
                                                   .low = operand,
                                                   .high = operand,
                                                   .factor_low = factor,
                                                   .factor_high = factor},
                                    .held_out_share = 0};
    return Draw(options, 0, 1)[0].difficulty;
  };
  EXPECT_EQ(difficulty_of("a+b", 11, 2), 0);
  EXPECT_EQ(difficulty_of("a+b", 55, 2), 2);    // 5+5, then 5+5+1
  EXPECT_EQ(difficulty_of("a*b", 47, 6), 0);    // 240 + 42
  EXPECT_EQ(difficulty_of("a*b", 48, 7), 1);    // 280 + 56
  EXPECT_EQ(difficulty_of("a-b*c", 17, 3), 1);  // 30 + 21; then 17 - 51 is -(51 - 17)
}

TEST(Countdown, EveryTaskIsSolvedByItsGoldWithinTheRules) {
  for (const int64_t numbers : {2, 3, 4, 6}) {
    const TaskSourceOptions options{.kind = "countdown", .countdown = {.numbers = numbers}};
    for (const Task& task : Draw(options, 1, 50)) {
      const auto data = nlohmann::json::parse(task.data);
      EXPECT_EQ(data["numbers"].size(), numbers);
      const int64_t target = data["target"];
      EXPECT_THAT(target, AllOf(testing::Ge(1), testing::Le(99)));
      // The last step of the worked solution ends at the target.
      EXPECT_THAT(task.solution, testing::EndsWith(fmt::format("= {}.", target)));
      // Each given number stands in the expression once.
      std::multiset<int64_t> given(data["numbers"].begin(), data["numbers"].end()), used;
      for (size_t i = 0; i < task.gold.size();) {
        size_t length = 0;
        if (std::isdigit(static_cast<unsigned char>(task.gold[i]))) {
          used.insert(std::stoll(task.gold.substr(i), &length));
        }
        i += std::max<size_t>(length, 1);
      }
      EXPECT_EQ(used, given) << task.gold;
      EXPECT_THAT(task.question, HasSubstr(fmt::format("make {}.", target)));
      EXPECT_EQ(task.kind, "countdown");
    }
  }
}

TEST(Procedural, TasksAreAPureFunctionOfSeedSplitAndStep) {
  for (const std::string kind : {"arithmetic", "countdown"}) {
    TaskSourceOptions options{.kind = kind};
    auto source = CreateTaskSource(options).value();
    const auto third = source->TasksFor(3, 16).value();
    source->TasksFor(9, 16).value();
    source->Feedback(9, {{"x", 0.5}});
    EXPECT_EQ(source->TasksFor(3, 16).value(), third);
    EXPECT_EQ(Draw(options, 3, 16), third);
    EXPECT_NE(Draw(options, 4, 16), third);
    options.seed = 2;
    EXPECT_NE(Draw(options, 3, 16), third);
  }
}

TEST(Procedural, SplitsNeverShareAQuestionWhateverTheSeed) {
  for (const std::string kind : {"arithmetic", "countdown"}) {
    std::set<std::string> train, held_out;
    for (const uint64_t seed : {1, 2, 3}) {
      TaskSourceOptions options{.kind = kind, .arithmetic = {.form = "a+b"}, .seed = seed};
      for (const Task& task : Draw(options, 0, 1000)) train.insert(task.id);
      options.split = Split::kHeldOut;
      for (const Task& task : Draw(options, 0, 250)) held_out.insert(task.id);
    }
    std::vector<std::string> both;
    std::set_intersection(train.begin(), train.end(), held_out.begin(), held_out.end(),
                          std::back_inserter(both));
    EXPECT_TRUE(both.empty()) << both[0];
    EXPECT_GT(held_out.size(), 250);
  }
}

TEST(Procedural, QuestionsThatDifferInOrderAloneBelongToOneSplit) {
  std::set<std::pair<int, int>> train, held_out;
  TaskSourceOptions options{.arithmetic = {.form = "a+b", .low = 10, .high = 60}};
  const auto pair_of = [](const Task& task) {
    int a = 0, b = 0;
    EXPECT_EQ(std::sscanf(task.question.c_str(), "What is %d + %d?", &a, &b), 2);
    return std::pair(std::min(a, b), std::max(a, b));
  };
  for (const Task& task : Draw(options, 0, 900)) train.insert(pair_of(task));
  options.split = Split::kHeldOut;
  for (const Task& task : Draw(options, 0, 100)) held_out.insert(pair_of(task));
  for (const auto& pair : held_out) EXPECT_EQ(train.count(pair), 0);
}

TEST(Procedural, AStepHasNoQuestionTwice) {
  // 91 unordered pairs of one-digit numbers from 1 to 13; about 82 of them train.
  TaskSourceOptions options{.arithmetic = {.form = "a+b", .low = 1, .high = 13}};
  for (const int64_t step : {0, 1, 2}) {
    std::set<std::string> ids;
    for (const Task& task : Draw(options, step, 75)) ids.insert(task.id);
    EXPECT_EQ(ids.size(), 75);
  }
}

TEST(Procedural, SharesOfTheSplitsAreThoseAskedFor) {
  int64_t held_out = 0;
  for (int i = 0; i < 10000; ++i) held_out += IsHeldOut(fmt::format("arithmetic +{}", i), 0.1);
  EXPECT_NEAR(held_out, 1000, 150);  // five standard deviations of 30
  EXPECT_FALSE(IsHeldOut("x", 0));
  EXPECT_TRUE(IsHeldOut("x", 1));
}

TEST(Procedural, SettingsWithTooFewQuestionsAreRefused) {
  TaskSourceOptions options{.arithmetic = {.form = "a+b", .low = 5, .high = 5}};
  const bool train_is_empty = !CreateTaskSource(options).ok();
  options.split = Split::kHeldOut;
  const bool held_out_is_empty = !CreateTaskSource(options).ok();
  EXPECT_NE(train_is_empty, held_out_is_empty);  // one question belongs to one split

  options = {.arithmetic = {.form = "a+b", .low = 1, .high = 4}, .held_out_share = 0};
  auto source = CreateTaskSource(options).value();
  EXPECT_EQ(source->TasksFor(0, 10).value().size(), 10);  // all there are: 4 * 5 / 2
  const absl::Status status = source->TasksFor(0, 11).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("11 different questions"), HasSubstr("only 10"), HasSubstr("widen")));

  // 1 + 1 is beyond the target, 1 - 1 is nothing, 1 * 1 and 1 / 1 are given already.
  options = {.kind = "countdown", .countdown = {.numbers = 2, .high = 1, .target_high = 1}};
  EXPECT_THAT(std::string(CreateTaskSource(options).status().message()),
              HasSubstr("too few different questions"));
}

TEST(Procedural, ImpossibleSettingsSayWhatIsExpected) {
  const auto message = [](const TaskSourceOptions& options) {
    const auto source = CreateTaskSource(options);
    EXPECT_EQ(source.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(source.status().message());
  };
  for (const std::string form :
       {"", "a", "b+a", "a+", "+a", "a+b/c", "a+b+c+d+e", "(a+b)", "a++b"}) {
    EXPECT_THAT(message({.arithmetic = {.form = form}}),
                AllOf(HasSubstr("\"a+b*c\""), HasSubstr(fmt::format("found \"{}\"", form))));
  }
  EXPECT_THAT(message({.arithmetic = {.low = 9, .high = 8}}), HasSubstr("low <= high"));
  EXPECT_THAT(message({.arithmetic = {.low = -1}}), HasSubstr("found -1"));
  EXPECT_THAT(message({.arithmetic = {.factor_low = 5, .factor_high = 4}}),
              HasSubstr("factor_low"));
  EXPECT_THAT(message({.arithmetic = {.form = "a*b*c", .high = 99999999, .factor_high = 99999999}}),
              HasSubstr("lower high"));
  EXPECT_THAT(message({.kind = "countdown", .countdown = {.numbers = 7}}), HasSubstr("2 to 6"));
  EXPECT_THAT(message({.kind = "countdown", .countdown = {.low = 0}}), HasSubstr("1 <= low"));
  EXPECT_THAT(message({.kind = "sudoku"}), HasSubstr("\"arithmetic\", \"countdown\", \"file\""));
  EXPECT_THAT(message({.held_out_share = 1.5}), HasSubstr("found 1.5"));
  EXPECT_THAT(message({.kind = "file"}), HasSubstr("path"));
}

}  // namespace
}  // namespace ponder
