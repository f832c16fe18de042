#include "app/config.h"

#include <absl/time/clock.h>
#include <absl/time/time.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "app/config_schema.h"
#include "base/check.h"
#include "base/file.h"

namespace ponder {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<RunConfig> Parse(std::string_view text, std::vector<std::string> overrides = {}) {
  return ParseConfig(text, "a.toml", overrides);
}

std::string Problem(std::string_view text, std::vector<std::string> overrides = {}) {
  const absl::StatusOr<RunConfig> config = Parse(text, std::move(overrides));
  if (config.ok()) return "no problem was found";
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(config.status().message());
}

TEST(ConfigTest, GivesTheDefaultsForAnEmptyText) {
  const absl::StatusOr<RunConfig> config = Parse("");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->run.seed, 1);
  EXPECT_EQ(config->run.steps, 60);
  EXPECT_EQ(config->rollout.prompts_per_step, 16);
  EXPECT_EQ(config->rollout.completions_per_prompt, 8);
  EXPECT_EQ(config->model.dtype, "bf16");
  EXPECT_EQ(config->tasks.arithmetic.form, "a+b*c");
  EXPECT_FALSE(config->sft.Wanted());
}

TEST(ConfigTest, ReadsEveryType) {
  const absl::StatusOr<RunConfig> config = Parse(R"(
[run]
seed = 7
name = "first-run"
[rollout]
temperature = 1        # a whole number is a number too
top_p = 0.95
[chat]
template = "custom"
[chat.custom]
user_turn = "U:{content}\n"
assistant_turn = "A:{content}\n"
stops = ["</s>", "<|end|>"]
[tasks.arithmetic]
form = 'a+b'
)");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->run.seed, 7);
  EXPECT_EQ(config->run.name, "first-run");
  EXPECT_EQ(config->rollout.temperature, 1.0);
  EXPECT_EQ(config->rollout.top_p, 0.95);
  EXPECT_EQ(config->chat.custom.user_turn, "U:{content}\n");
  EXPECT_EQ(config->chat.custom.stops, (std::vector<std::string>{"</s>", "<|end|>"}));
  EXPECT_EQ(config->tasks.arithmetic.form, "a+b");
}

TEST(ConfigTest, NamesTheNearestKeyOfAnUnknownOne) {
  EXPECT_EQ(Problem("[run]\nseed = 1\n[rollout]\ntemprature = 1\n"),
            "a.toml:4: unknown key rollout.temprature; the nearest known key is "
            "rollout.temperature");
  EXPECT_EQ(Problem("[rolout]\ntemperature = 1\n"),
            "a.toml:1: unknown table [rolout]; the nearest known one is [rollout]");
  // The right name in the wrong table, and in none.
  EXPECT_THAT(Problem("[learner]\nweight_decay = 0\n"), HasSubstr("optimizer.weight_decay"));
  EXPECT_THAT(Problem("prompts_per_step = 4\n"), HasSubstr("rollout.prompts_per_step"));
  EXPECT_THAT(Problem("", {"rollout.top-k=3"}),
              HasSubstr("unknown key rollout.top-k; the nearest known key is rollout.top_k"));
}

TEST(ConfigTest, SaysWhatWasExpectedAndFoundForAWrongType) {
  EXPECT_EQ(Problem("[rollout]\n\ntemperature = \"hot\"\n"),
            "a.toml:3: rollout.temperature: expected a number above 0 and at most 100, found the "
            "string \"hot\"");
  EXPECT_EQ(Problem("[run]\nsteps = 1.5\n"),
            "a.toml:2: run.steps: expected an integer from 0 to 1000000000, found the number 1.5");
  EXPECT_EQ(Problem("[run]\nname = 5\n"),
            "a.toml:2: run.name: expected a string, found the integer 5");
  EXPECT_EQ(Problem("[chat.custom]\nstops = [\"a\", 1]\n"),
            "a.toml:2: chat.custom.stops: expected a list of strings, found a list");
  EXPECT_EQ(Problem("rollout = 3\n"),
            "a.toml:1: rollout: expected the table [rollout], found the integer 3");
  EXPECT_EQ(Problem("[run]\nseed = {}\n"),
            "a.toml:2: run.seed: expected an integer at least 0, found a table");
  EXPECT_EQ(Problem("[run]\nseed = 1979-05-27\n"),
            "a.toml:2: run.seed: expected an integer at least 0, found a date or time");
  EXPECT_EQ(Problem("[run]\nseed = true\n"),
            "a.toml:2: run.seed: expected an integer at least 0, found true");
}

TEST(ConfigTest, RefusesValuesOutOfRange) {
  EXPECT_EQ(Problem("[model]\ndtype = \"fp16\"\n"),
            "a.toml:2: model.dtype: expected \"bf16\" or \"f32\", found \"fp16\"");
  EXPECT_EQ(Problem("[rollout]\ntop_p = 0\n"),
            "a.toml:2: rollout.top_p: expected a number above 0 and at most 1, found 0");
  EXPECT_THAT(Problem("[rollout]\ntop_p = nan\n"), HasSubstr("found nan"));
  EXPECT_THAT(Problem("[optimizer]\nmax_gradient_norm = inf\n"), HasSubstr("found inf"));
  EXPECT_THAT(Problem("[run]\nseed = -1\n"), HasSubstr("found -1"));
  EXPECT_THAT(Problem("[run]\nname = \"a\\u0000b\"\n"), HasSubstr("found"));
  EXPECT_TRUE(Parse("[run]\nseed = 9223372036854775807\n").ok());
}

TEST(ConfigTest, ReportsSeveralProblemsInTheOrderOfTheFile) {
  EXPECT_EQ(Problem("[run]\nsteps = -1\n[model]\ndtype = 3\n", {"run.seed=x"}),
            "a.toml:2: run.steps: expected an integer from 0 to 1000000000, found -1\n"
            "a.toml:4: model.dtype: expected \"bf16\" or \"f32\", found the integer 3\n"
            "--set \"run.seed=x\": run.seed: expected an integer at least 0, found \"x\"");
  std::string many = "[run]\n";
  for (int i = 0; i < 50; ++i) many += fmt::format("unknown_{} = 1\n", i);
  EXPECT_THAT(Problem(many), HasSubstr("and 40 more"));
}

TEST(ConfigTest, ReportsBrokenTomlWithItsLine) {
  EXPECT_THAT(Problem("[run]\nseed = = 1\n"), HasSubstr("a.toml:2: not valid TOML: "));
  EXPECT_THAT(Problem("[run]\nseed = 1\nseed = 2\n"), HasSubstr("a.toml:3: not valid TOML: "));
  EXPECT_THAT(Problem("x = \"\xff\"\n"), HasSubstr("not valid TOML"));
}

TEST(ConfigTest, SurvivesDeepNestingAndRefusesHugeTexts) {
  EXPECT_THAT(Problem("x = " + std::string(100000, '[')), HasSubstr("not valid TOML"));
  EXPECT_THAT(Problem(std::string(kMaxConfigBytes + 1, '#')), HasSubstr("expected at most"));
}

TEST(ConfigTest, AnswersAFileOfManyUnknownKeysQuickly) {
  std::string text = "[run]\n";
  for (int i = 0; i < 60000; ++i) text += fmt::format("sted_{} = 1\n", i);
  const absl::Time begin = absl::Now();
  EXPECT_THAT(Problem(text), HasSubstr("and 59990 more"));
  // Naming the nearest key of each would take tens of seconds.
  EXPECT_LT(absl::Now() - begin, absl::Seconds(10));
}

TEST(ConfigTest, KeepsForeignTextInMessagesShortAndOnOneLine) {
  const std::string problem =
      Problem("\"" + std::string(5000, 'k') + "\\n\" = 1\n[run]\nseed = \"" +
              std::string(5000, 'v') + "\"\n");
  EXPECT_LT(problem.size(), 600u);
  EXPECT_EQ(std::count(problem.begin(), problem.end(), '\n'), 1);
}

TEST(ConfigTest, LaysOverridesOverTheFileInOrder) {
  const absl::StatusOr<RunConfig> config =
      Parse("[run]\nsteps = 5\n[rollout]\ntemperature = 0.5\n",
            {"run.steps=6", "run.steps = 7", "run.name=bare-word", "tasks.arithmetic.form=\"a-b\"",
             "optimizer.learning_rate=1e-4", "verifier.address=localhost:5001",
             "run.directory=2024", "rollout.top_p=1"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->run.steps, 7);
  EXPECT_EQ(config->run.name, "bare-word");
  EXPECT_EQ(config->run.directory, "2024");
  EXPECT_EQ(config->tasks.arithmetic.form, "a-b");
  EXPECT_EQ(config->optimizer.learning_rate, 1e-4);
  EXPECT_EQ(config->rollout.temperature, 0.5);
  EXPECT_EQ(config->rollout.top_p, 1.0);
}

TEST(ConfigTest, TakesAListInAnOverride) {
  const absl::StatusOr<RunConfig> config =
      Parse("", {"chat.template=custom", "chat.custom.user_turn={content}",
                 "chat.custom.assistant_turn={content}", "chat.custom.stops=[\"a\", 'b']"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->chat.custom.stops, (std::vector<std::string>{"a", "b"}));
}

TEST(ConfigTest, RefusesMalformedOverrides) {
  EXPECT_THAT(Problem("", {"run.seed"}), HasSubstr("expected KEY=VALUE"));
  EXPECT_THAT(Problem("", {"run.seed="}), HasSubstr("found nothing"));
  EXPECT_THAT(Problem("", {"=3"}), HasSubstr("unknown key"));
  EXPECT_THAT(Problem("", {"run.seed=1\nsteps=2"}), HasSubstr("expected an integer"));
  EXPECT_THAT(Problem("", {"run.name=\"open"}), HasSubstr("expected a string"));
  EXPECT_THAT(Problem("", {"run.name=a\xff"}), HasSubstr("not UTF-8"));
  EXPECT_THAT(Problem("", {"run.steps=3.0"}), HasSubstr("found the number 3"));
}

TEST(ConfigTest, ChecksWhatKeysDemandOfEachOther) {
  EXPECT_THAT(Problem("[rollout]\ncompletions_per_prompt = 1\n"),
              HasSubstr("rollout.completions_per_prompt must be at least 2, found 1"));
  EXPECT_THAT(Problem("[learner]\nupdates_per_step = 17\n"),
              HasSubstr("at most rollout.prompts_per_step = 16, found 17"));
  EXPECT_THAT(Problem("[rollout]\nmax_step_tokens = 64\n"), HasSubstr("rollout.max_sequences"));
  EXPECT_THAT(Problem("[rollout]\nmax_new_tokens = 70000\n"), HasSubstr("rollout.cache_tokens"));
  EXPECT_THAT(Problem("[rollout]\nmax_new_tokens = 4096\n"),
              HasSubstr("learner.micro_batch_tokens"));
  EXPECT_THAT(Problem("[learner]\nkl_reference_every = 10\n"), HasSubstr("learner.kl_weight"));
  EXPECT_THAT(Problem("[tasks]\nkind = \"file\"\n"), HasSubstr("tasks.file.path"));
  EXPECT_THAT(Problem("[tasks.arithmetic]\nlow = 100\n"),
              HasSubstr("tasks.arithmetic.low must not be above high, found 100 and 99"));
  EXPECT_THAT(Problem("[run]\nname = \"../up\"\n"), HasSubstr("run.name must be"));
  EXPECT_THAT(Problem("[chat.custom]\nprefix = \"x\"\n"), HasSubstr("[chat.custom] is only read"));
  EXPECT_THAT(Problem("[chat]\ntemplate = \"custom\"\n"),
              HasSubstr("chat.custom.user_turn must hold {content}"));
  EXPECT_THAT(Problem("[prompt.custom]\nuser = \"{question}\"\n"),
              HasSubstr("[prompt.custom] is only read"));
  EXPECT_THAT(Problem("[prompt]\ntemplate = \"custom\"\n[prompt.custom]\nuser = \"x\"\n"),
              HasSubstr("prompt.custom.user must hold {question}, found \"x\""));
  EXPECT_THAT(Problem("[verifier]\naddress = \"localhost\"\n"), HasSubstr("host:port"));
  EXPECT_THAT(Problem("[rollout]\nlisten = \"0.0.0.0:99999\"\n"), HasSubstr("host:port"));
  EXPECT_THAT(Problem("[dashboard]\nlisten = \"6100\"\n"), HasSubstr("host:port"));
  EXPECT_THAT(Problem("[machine]\ndevice = \"gpu\"\n"),
              HasSubstr("machine.device: expected cpu, cuda or cuda:N"));
  EXPECT_THAT(Problem("[machine]\ndevice = \"cuda:1\"\nrollout_device = \"cuda:0,cuda:1\"\n"),
              HasSubstr("machine.rollout_device beside machine.device: expected each GPU once"));
  EXPECT_THAT(Problem("[machine]\nrollout_device = \"cpu\"\n[rollout]\nlisten = \"0.0.0.0:1\"\n"),
              HasSubstr("the workers generate"));
  EXPECT_THAT(Problem("[dashboard]\ntoken_file = \"x\"\n"), HasSubstr("dashboard.listen"));
  EXPECT_THAT(Problem("[eval]\ntasks = 5\n[tasks]\nheld_out_share = 0\n"),
              HasSubstr("held-out tasks"));
  EXPECT_THAT(Problem("[sft]\nexamples = 9\n[tasks]\nkind = \"file\"\nfile.path = \"x\"\n"),
              HasSubstr("tasks.file.solution_field"));
}

TEST(ConfigTest, ReadsTablesOfFurtherVerifiersByTheirNames) {
  const absl::StatusOr<RunConfig> config =
      Parse(R"(
[verifiers.brevity]
command = ["python3", "brevity.py"]
weight = 0.2
[verifiers.second]
name = "math"
role = "audit"
share = 0.1
[verifiers.poems]
plugin = "./poems.so"
role = "judge"
sources = ["poems"]
[reward]
gates = ["format", "brevity"]
)",
            {"verifiers.brevity.weight=0.3", "verifiers.new.weight=1"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->verifiers.size(), 4u);
  const AddedVerifierKeys& brevity = config->verifiers.at("brevity");
  EXPECT_EQ(brevity.command, (std::vector<std::string>{"python3", "brevity.py"}));
  EXPECT_EQ(brevity.weight, 0.3);
  EXPECT_EQ(brevity.role, "part");
  EXPECT_EQ(config->verifiers.at("second").share, 0.1);
  EXPECT_EQ(config->verifiers.at("poems").sources, std::vector<std::string>{"poems"});
  EXPECT_EQ(config->verifiers.at("new").name, "auto");
}

TEST(ConfigTest, SaysWhatIsWrongWithATableOfAFurtherVerifier) {
  EXPECT_EQ(Problem("[verifiers.brevity]\nwieght = 1\n"),
            "a.toml:2: unknown key verifiers.brevity.wieght; the nearest known key is "
            "verifiers.brevity.weight");
  EXPECT_THAT(Problem("", {"verifiers.brevity.wieght=1"}), HasSubstr("verifiers.brevity.weight"));
  EXPECT_THAT(Problem("[verifiers.\"a b\"]\n"), HasSubstr("a-z 0-9 _ -, found"));
  EXPECT_THAT(Problem("[verifiers]\nmath = 1\n"), HasSubstr("tables [verifiers.NAME]"));
  EXPECT_THAT(Problem("verifiers = 3\n"), HasSubstr("unknown key verifiers"));
  EXPECT_THAT(Problem("[verifiers.format]\n"), HasSubstr("name of a reward's own term"));
  EXPECT_THAT(Problem("[verifiers.a]\nrole = \"audit\"\nweight = 1\n"),
              HasSubstr("verifiers.a.weight is for role \"part\""));
  EXPECT_THAT(Problem("[verifiers.a]\nshare = 0.5\n"), HasSubstr("for role \"audit\""));
  EXPECT_THAT(Problem("[verifiers.a]\nrole = \"judge\"\n"), HasSubstr("belongs in [verifier]"));
  EXPECT_THAT(Problem("[verifier]\nplugin = \"a.so\"\ncommand = [\"b\"]\n"),
              HasSubstr("one of address, command and plugin, found 2"));
  EXPECT_THAT(Problem("[verifier]\nplugin = \"a.so\"\nextraction = \"anywhere\"\n"),
              HasSubstr("are for built-in verifiers"));
  EXPECT_THAT(Problem("[reward]\ngates = [\"brevity\"]\n"), HasSubstr("found \"brevity\""));
  EXPECT_THAT(Problem("[reward.language]\ntarget = \"klingon\"\n"), HasSubstr("found \"klingon\""));
  EXPECT_THAT(Problem("[reward.overlong]\ntokens = 300\n"),
              HasSubstr("rollout.max_new_tokens = 256, found 300"));
  std::string many;
  for (int i = 0; i < 17; ++i) many += "[verifiers.v" + std::to_string(i) + "]\n";
  EXPECT_THAT(Problem(many), HasSubstr("at most 16 tables"));
}

// Gives every key a value other than its default.
void Disturb(RunConfig& config) {
  struct Change {
    const ConfigKey& key;
    void operator()(bool* v) { *v = !*v; }
    void operator()(int64_t* v) {
      *v = key.range.Contains(static_cast<double>(*v + 1)) ? *v + 1 : *v - 1;
    }
    void operator()(double* v) {
      const double changed = *v + 0.1;
      *v = key.range.Contains(changed) ? changed : *v * 0.3;
    }
    void operator()(std::string* v) {
      if (key.choices.empty()) {
        *v = "quote \" back \\ tab \t line \n bell \x07 umlaut \xc3\xa4 smile \xf0\x9f\x99\x82 "
             "{content} {question}";
        return;
      }
      *v = *v == key.choices[0] ? key.choices[1] : key.choices[0];
    }
    void operator()(std::vector<std::string>* v) { *v = {"", "a\"b", "c,d"}; }
  };
  for (const ConfigSection& section : ConfigSections(config)) {
    for (const ConfigKey& key : section.keys) std::visit(Change{key}, key.find(config));
  }
  // What then contradicts something else goes back.
  const auto keep_address_alone = [](VerifierChoiceKeys& keys) {
    keys = {.address = "[::1]:5001"};
  };
  for (auto& [name, keys] : config.verifiers) {
    keep_address_alone(keys);
    keys.role = "part";
    keys.share = 1;
  }
  keep_address_alone(config.verifier);
  config.reward.gates = {"format", "style"};
  config.run.name = "other";
  config.chat.template_name = "custom";
  config.prompt.template_name = "custom";
  config.machine.device = "cuda:1";
  config.machine.rollout_device = "";  // there is rollout.listen
  config.rollout.listen = "127.0.0.1:0";
  config.dashboard.listen = "127.0.0.1:0";
}

std::vector<std::string> Values(RunConfig config) {
  std::vector<std::string> values;
  for (const ConfigSection& section : ConfigSections(config)) {
    for (const ConfigKey& key : section.keys) values.push_back(ConfigToml(key.find(config)));
  }
  return values;
}

TEST(ConfigTest, ADumpReadsBackToTheSame) {
  RunConfig config;
  config.verifiers["style"];
  const std::vector<std::string> defaults = Values(config);
  Disturb(config);
  const std::vector<std::string> values = Values(config);
  size_t same = 0;
  for (size_t i = 0; i < values.size(); ++i) same += values[i] == defaults[i];
  // name, command, plugin and the six settings of built-in verifiers, twice; a role and a share;
  // machine.rollout_device
  EXPECT_EQ(same, 2 * 9 + 2 + 1);
  for (const RunConfig& wanted : {RunConfig(), config}) {
    const std::string dump = DumpConfig(wanted);
    const absl::StatusOr<RunConfig> back = Parse(dump);
    ASSERT_TRUE(back.ok()) << back.status() << "\n" << dump;
    EXPECT_EQ(Values(*back), Values(wanted));
    EXPECT_EQ(DumpConfig(*back), dump);
  }
}

TEST(ConfigTest, ADumpKeepsEveryBitOfANumber) {
  for (const double value : {0.1, 1.0 / 3, 1e-300, 5e-324, 123456789.125, 2e-4}) {
    RunConfig config;
    config.optimizer.max_gradient_norm = value;
    const absl::StatusOr<RunConfig> back = Parse(DumpConfig(config));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->optimizer.max_gradient_norm, value);
  }
}

TEST(ConfigTest, ADumpOfAnUncheckedConfigurationIsRefused) {
  RunConfig config;
  config.run.name = "\xff";
  EXPECT_THROW(DumpConfig(config), CheckFailure);
}

TEST(ConfigTest, EveryKeyHasHelpADistinctMemberAndADefaultInRange) {
  RunConfig config;
  std::set<std::string> names;
  std::set<const void*> members;
  size_t count = 0;
  for (const ConfigSection& section : ConfigSchema()) {
    EXPECT_FALSE(section.help.empty()) << section.name;
    for (const ConfigKey& key : section.keys) {
      ++count;
      EXPECT_FALSE(key.help.empty()) << key.name;
      EXPECT_EQ(ConfigViolation(key, key.find(config)), "") << section.name << "." << key.name;
      names.insert(section.name + "." + key.name);
      members.insert(std::visit([](auto* p) -> const void* { return p; }, key.find(config)));
    }
  }
  EXPECT_EQ(names.size(), count);
  EXPECT_EQ(members.size(), count);
  EXPECT_GT(count, 60u);
}

TEST(ConfigTest, TheReferenceHasARowForEveryKey) {
  const std::string reference = ConfigReference();
  EXPECT_THAT(reference, HasSubstr("## [tasks.countdown]\n"));
  EXPECT_THAT(reference, HasSubstr("| `top_k` | samples from so many likeliest tokens; 0: all | "
                                   "integer from 0 to 1000000000 | `0` |"));
}

TEST(ConfigTest, LoadsAFileAndNamesOneThatIsNotThere) {
  const std::string path = ::testing::TempDir() + "/config_test.toml";
  ASSERT_TRUE(WriteFileAtomically(path, "[run]\nsteps = 3\n").ok());
  const std::vector<std::string> overrides = {"run.seed=9"};
  const absl::StatusOr<RunConfig> config = LoadConfig(path, overrides);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->run.steps, 3);
  EXPECT_EQ(config->run.seed, 9);
  std::filesystem::remove(path);
  const absl::Status missing = LoadConfig(path).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.message()), HasSubstr(path));
}

TEST(Config, EveryConfigurationOfTheRepositoryLoads) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(PONDER_CONFIGURATIONS)) {
    const absl::StatusOr<RunConfig> config = LoadConfig(entry.path());
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->run.name, entry.path().stem());
    ++count;
  }
  EXPECT_GT(count, 0);
}

TEST(Config, FastNumericsAreOfAGpuAndBringTheirCorrection) {
  const RunConfig fast =
      ParseConfig("[machine]\ndevice = \"cuda\"\nnumerics = \"fast\"", "run.toml").value();
  EXPECT_EQ(fast.learner.importance_cap, 2);
  EXPECT_EQ(ParseConfig("[machine]\ndevice = \"cuda\"", "run.toml")->learner.importance_cap, 0);
  EXPECT_THAT(Problem("[machine]\nnumerics = \"fast\"\n"),
              HasSubstr("machine.numerics = \"fast\" needs a GPU (machine.device = \"cuda\")"));
  EXPECT_THAT(Problem("[machine]\nnumerics = \"quick\"\n"), HasSubstr("machine.numerics"));
  RunConfig uncorrected = fast;
  uncorrected.learner.importance_cap = 0;
  EXPECT_THAT(CheckConfig(uncorrected, "run.toml").message(),
              HasSubstr("learner.importance_cap must be above 0"));
}

TEST(Config, StalenessBringsItsCorrectionWhereNoneIsSet) {
  const auto with = [](const std::string& text) {
    return ParseConfig(text, "run.toml").value().learner.importance_cap;
  };
  EXPECT_EQ(with(""), 0);
  EXPECT_EQ(with("[rollout]\nmax_staleness = 1"), 2);
  EXPECT_EQ(with("[rollout]\nmax_staleness = 1\n[learner]\nimportance_cap = 5"), 5);
  const RunConfig resolved = ParseConfig("[rollout]\nmax_staleness = 3", "run.toml").value();
  const std::string dump = DumpConfig(resolved);
  EXPECT_NE(dump.find("importance_cap = 2"), std::string::npos);
  EXPECT_NE(dump.find("max_staleness = 3"), std::string::npos);
  RunConfig uncorrected = resolved;
  uncorrected.learner.importance_cap = 0;
  EXPECT_FALSE(CheckConfig(uncorrected, "run.toml").ok());
}

}  // namespace
}  // namespace ponder
