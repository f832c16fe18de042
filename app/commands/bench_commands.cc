// bench: measured figures with ranges.
#include <absl/time/clock.h>
#include <fmt/format.h>

#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "app/bench_code.h"
#include "app/bench_report.h"
#include "app/bench_speed.h"
#include "app/bench_start.h"
#include "app/bench_weights.h"
#include "app/commands/command.h"
#include "base/random.h"
#include "verifiers/service/verifier_service.h"
#include "verifiers/verifier.h"

namespace ponder {
namespace {

using nlohmann::json;

struct BenchOptions {
  std::string cases;
  int64_t repeats = 5;
  bool as_json = false;
};

void Print(bool as_json, const BenchRow& row) {
  std::cout << (as_json ? BenchJson(row) : BenchText(row)) << std::endl;
}

double SecondsSince(absl::Time start) { return absl::ToDoubleSeconds(absl::Now() - start); }

// Boxed whole numbers up to 99,999, every second one wrong.
std::vector<VerifyItem> IntegerItems(int64_t count) {
  RandomStream random(MakeRandomKey(0, "bench integers"));
  std::vector<VerifyItem> items;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t gold = random.Between(1, 99'999);
    const int64_t answer = i % 2 == 1 ? gold : gold + random.Between(1, 49);
    items.push_back({{.kind = "math", .gold = fmt::format("{}", gold)},
                     fmt::format("We add the parts, so the answer is \\boxed{{{}}}.", answer)});
  }
  return items;
}

absl::StatusOr<std::vector<VerifyItem>> ReadCases(const std::string& path) {
  std::ifstream file(path);
  if (!file) return NotFound("--cases: cannot open {}", path);
  std::vector<VerifyItem> items;
  std::string line;
  for (int64_t number = 1; std::getline(file, line); ++number) {
    const json value = json::parse(line, nullptr, /*allow_exceptions=*/false);
    const char* const text = value.contains("completion") ? "completion" : "prediction";
    if (!value.is_object() || !value.contains("gold") || !value["gold"].is_string() ||
        !value.contains(text) || !value[text].is_string()) {
      return InvalidArgument(
          "{}:{}: expected {{\"gold\",\"completion\"}} or {{\"gold\",\"prediction\"}}", path,
          number);
    }
    items.push_back({{.kind = "math", .gold = value["gold"].get<std::string>()},
                     value[text].get<std::string>()});
  }
  if (items.empty()) return InvalidArgument("{} holds no cases", path);
  return items;
}

absl::StatusOr<double> ChecksPerSecond(Verifier& verifier, const std::vector<VerifyItem>& items) {
  const absl::Time start = absl::Now();
  PONDER_RETURN_IF_ERROR(verifier.Verify(items, absl::InfiniteFuture()).status());
  return static_cast<double>(items.size()) / SecondsSince(start);
}

absl::Status BenchRate(const BenchOptions& options, const std::string& name, Verifier& verifier,
                       const std::vector<VerifyItem>& items) {
  absl::Status status;
  const BenchRow row = Repeat(name, "checks/s", options.repeats, [&] {
    const absl::StatusOr<double> rate = ChecksPerSecond(verifier, items);
    status.Update(rate.status());
    return rate.value_or(0);
  });
  PONDER_RETURN_IF_ERROR(status);
  Print(options.as_json, row);
  return absl::OkStatus();
}

// The slowest single check, its median over repetitions.
absl::Status BenchSlowest(const BenchOptions& options, const std::string& name, Verifier& verifier,
                          const std::vector<VerifyItem>& items) {
  absl::Status status;
  const BenchRow row = Repeat(name, "ms", options.repeats, [&] {
    int64_t slowest_us = 0;
    const absl::StatusOr<std::vector<Verdict>> verdicts =
        verifier.Verify(items, absl::InfiniteFuture());
    status.Update(verdicts.status());
    if (verdicts.ok()) {
      for (const Verdict& verdict : *verdicts)
        slowest_us = std::max(slowest_us, verdict.elapsed_us);
    }
    return 1e-3 * static_cast<double>(slowest_us);
  });
  PONDER_RETURN_IF_ERROR(status);
  Print(options.as_json, row);
  return absl::OkStatus();
}

// What a call over gRPC costs beside the same call in this process, a batch of 256 at a time.
absl::Status BenchGrpc(const BenchOptions& options, Verifier& verifier) {
  constexpr int64_t kBatch = 256;
  const std::vector<VerifyItem> items = IntegerItems(kBatch);
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<VerifierServer> server,
                          VerifierServer::Start(verifier, "127.0.0.1:0"));
  const std::unique_ptr<Verifier> remote = ConnectVerifier(
      {.address = fmt::format("127.0.0.1:{}", server->Port()), .max_batch_items = kBatch});
  absl::Status status;
  const BenchRow row = Repeat("grpc_overhead", "us/item", options.repeats, [&] {
    constexpr int64_t kCalls = 50;
    double seconds[2] = {};
    Verifier* const sides[2] = {&verifier, remote.get()};
    for (int64_t call = 0; call < kCalls; ++call) {
      for (int side = 0; side < 2; ++side) {
        const absl::Time start = absl::Now();
        status.Update(sides[side]->Verify(items, absl::Now() + absl::Seconds(60)).status());
        seconds[side] += SecondsSince(start);
      }
    }
    return 1e6 * (seconds[1] - seconds[0]) / (kCalls * kBatch);
  });
  PONDER_RETURN_IF_ERROR(status);
  Print(options.as_json, row);
  return absl::OkStatus();
}

absl::Status RunBenchVerify(const BenchOptions& options) {
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<Verifier> strict, CreateVerifier("math"));
  PONDER_RETURN_IF_ERROR(BenchRate(options, "math_integers", *strict, IntegerItems(20'000)));
  if (!options.cases.empty()) {
    PONDER_ASSIGN_OR_RETURN(const std::vector<VerifyItem> cases, ReadCases(options.cases));
    PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<Verifier> anywhere,
                            CreateVerifier("math", {.extraction = "anywhere"}));
    PONDER_RETURN_IF_ERROR(BenchRate(options, "math_cases", *anywhere, cases));
    PONDER_RETURN_IF_ERROR(BenchSlowest(options, "math_cases_slowest", *anywhere, cases));
  }
  PONDER_RETURN_IF_ERROR(BenchGrpc(options, *strict));
  const absl::Status code =
      BenchCode(options.repeats, [&](const BenchRow& row) { Print(options.as_json, row); });
  if (absl::IsFailedPrecondition(code)) {  // no fault of the program's: the other figures stand
    fmt::print(stderr, "the code verifier is not measured: {}\n", code.message());
    return absl::OkStatus();
  }
  return code;
}

// Options of the measurements of a model's speed; which of them a command has is its business.
struct SpeedCommand {
  BenchSpeedOptions options;
  bool as_json = false;
};

using SpeedBench = absl::Status (*)(const BenchSpeedOptions&, const BenchReport&);

CLI::Option* AddSize(CLI::App& command, const std::string& name, int64_t& value,
                     const std::string& what) {
  return command.add_option(name, value, what)
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
}

void AddSpeedCommand(CommandLine& line, CLI::App& bench, const std::string& name,
                     const std::string& description, const std::string& example, SpeedBench run) {
  auto speed = std::make_shared<SpeedCommand>();
  BenchSpeedOptions& options = speed->options;
  CLI::App* command = AddCommand(bench, name, description, example);
  AddSessionOptions(*command, options.session);
  AddSize(*command, "--repeats", options.repeats, "measurements a figure");
  command->add_flag("--json", speed->as_json, "one JSON object a figure");
  command->callback([&line, speed, run] {
    line.chosen = [speed, run] {
      return run(speed->options, [&](const BenchRow& row) { Print(speed->as_json, row); });
    };
  });
  if (run == BenchStart || run == BenchWeights) return;
  if (run == BenchRollout) {
    options.completions = 1;
    command->add_option("--batch", options.batches, "sequences at once; several make several rows")
        ->delimiter(',')
        ->capture_default_str()
        ->check(CLI::Range(1, 65536));
    AddSize(*command, "--completions", options.completions,
            "of one prompt; 1 = a prompt for each sequence");
  } else {
    AddSize(*command, "--prompts", options.prompts, "of a step");
    AddSize(*command, "--completions", options.completions, "of one prompt");
    AddSize(*command, "--micro-batch-tokens", options.micro_batch_tokens,
            "rows of one forward and backward");
  }
  AddSize(*command, "--prompt-tokens", options.prompt_tokens, "length of a prompt");
  AddSize(*command, "--new-tokens", options.new_tokens, "length of an answer");
}

}  // namespace

void AddBenchCommands(CommandLine& line) {
  CLI::App* bench = line.app.add_subcommand("bench", "Measured figures with their ranges");
  bench->require_subcommand(1);
  auto verify = std::make_shared<BenchOptions>();
  CLI::App* command =
      AddCommand(*bench, "verify",
                 "Checks per second of the verifiers beside their limits, and what gRPC adds",
                 "ponder bench verify --repeats 9");
  command->add_option("--cases", verify->cases,
                      R"(JSON lines {"gold","completion"} to measure the math verifier on too)");
  command->add_option("--repeats", verify->repeats, "measurements a figure")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_flag("--json", verify->as_json, "one JSON object a figure");
  command->callback(
      [&line, verify] { line.chosen = [verify] { return RunBenchVerify(*verify); }; });
  AddSpeedCommand(line, *bench, "rollout",
                  "Tokens a second of prefill and decoding, beside this machine's limits",
                  "ponder bench rollout --model models/smollm2-135m-instruct --batch 1,64",
                  BenchRollout);
  AddSpeedCommand(line, *bench, "learner",
                  "Tokens a second through the learner's update, beside this machine's limit",
                  "ponder bench learner --model models/smollm2-135m-instruct", BenchLearner);
  AddSpeedCommand(line, *bench, "step",
                  "GRPO steps an hour, generation and update, beside this machine's limit",
                  "ponder bench step --model models/smollm2-135m-instruct", BenchStep);
  AddSpeedCommand(line, *bench, "start", "Seconds from a process's start to its first token",
                  "ponder bench start --model models/smollm2-135m-instruct", BenchStart);
  AddSpeedCommand(line, *bench, "weights",
                  "How fast new weights reach engines, beside a memcpy and a TCP connection",
                  "ponder bench weights --model models/smollm2-135m-instruct", BenchWeights);
}

}  // namespace ponder
