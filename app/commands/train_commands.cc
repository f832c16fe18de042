// train, learner, rollout, sft, config: runs and their roles.
#include <fmt/format.h>

#include <filesystem>
#include <iostream>

#include "app/commands/command.h"
#include "app/config.h"
#include "app/config_convert.h"
#include "app/training.h"
#include "rollout/service/rollout_service.h"

namespace ponder {
namespace {

struct TrainOptions {
  std::string config;
  std::vector<std::string> overrides;
  std::string run;
  std::string listen;
  bool resume = false;
  bool json = false;
};

struct RolloutOptions {
  SessionOptions session;
  RolloutWorkerOptions worker;
  double reconnect_limit_s = 600;
  int64_t max_sequences = 128;
  int64_t cache_tokens = 65536;
};

void AddRunOptions(CLI::App& command, TrainOptions& options) {
  command.add_option("config", options.config, "TOML file; with --resume the run's own is used");
  AddOverrides(command, options.overrides, "override a key: --set run.seed=2; may be repeated");
  command.add_option("--run", options.run, "the run's folder");
  command.add_flag("--resume", options.resume, "go on behind the newest checkpoint of --run");
  command.add_flag("--json", options.json,
                   R"(a line {"step","metrics"} a step on standard output)");
}

absl::StatusOr<TrainingRequest> MakeRequest(const TrainOptions& options) {
  TrainingRequest request{
      .run_directory = options.run, .resume = options.resume, .json = options.json};
  std::string path = options.config;
  if (options.resume) {
    if (options.run.empty())
      return InvalidArgument("--resume needs --run, the folder of the run to go on with");
    path = options.run + "/config.toml";
    if (!std::filesystem::exists(path)) {
      return NotFound("{} holds no run (no config.toml); begin one without --resume", options.run);
    }
  } else if (path.empty()) {
    return InvalidArgument("expected a configuration file, for example configs/quickstart.toml");
  }
  std::vector<std::string> overrides = options.overrides;
  if (!options.listen.empty()) overrides.push_back("rollout.listen=" + options.listen);
  PONDER_ASSIGN_OR_RETURN(request.config, LoadConfig(path, overrides));
  if (request.config.model.directory.empty()) {
    return InvalidArgument("{}: expected model.directory, the Hugging Face directory to start from",
                           path);
  }
  return request;
}

absl::Status RunWorker(RolloutOptions options) {
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Open(options.session));
  PONDER_ASSIGN_OR_RETURN(RolloutEngine * engine,
                          session->Engine({.max_sequences = options.max_sequences,
                                           .cache_tokens = options.cache_tokens}));
  WatchInterrupts();
  options.worker.reconnect_limit = absl::Seconds(options.reconnect_limit_s);
  return RunRolloutWorker(options.worker, *session->Model().weights, *engine, Interrupted);
}

}  // namespace

void AddTrainCommands(CommandLine& line) {
  auto train = std::make_shared<TrainOptions>();
  CLI::App* command = AddCommand(line.app, "train", "The whole loop on this machine",
                                 "ponder train configs/quickstart.toml --set run.seed=2");
  AddRunOptions(*command, *train);
  command->callback([&line, train] {
    line.chosen = [train]() -> absl::Status {
      PONDER_ASSIGN_OR_RETURN(TrainingRequest request, MakeRequest(*train));
      return RunTraining(std::move(request));
    };
  });

  auto learner = std::make_shared<TrainOptions>();
  learner->listen = "127.0.0.1:5100";
  command = AddCommand(line.app, "learner", "The learner alone; rollout workers dial in",
                       "ponder learner configs/quickstart.toml --listen 127.0.0.1:5100");
  AddRunOptions(*command, *learner);
  command->add_option("--listen", learner->listen, "address for rollout workers")
      ->capture_default_str();
  command->callback([&line, learner] {
    line.chosen = [learner]() -> absl::Status {
      PONDER_ASSIGN_OR_RETURN(TrainingRequest request, MakeRequest(*learner));
      return RunTraining(std::move(request));
    };
  });

  auto rollout = std::make_shared<RolloutOptions>();
  command =
      AddCommand(line.app, "rollout", "A rollout worker for a learner",
                 "ponder rollout --model models/smollm2-135m-instruct --learner 127.0.0.1:5100");
  AddSessionOptions(*command, rollout->session);
  command->add_option("--learner", rollout->worker.learner_address, "the learner's address")
      ->required();
  command->add_option("--name", rollout->worker.name,
                      "name in the learner's log; host:pid unless given");
  command
      ->add_option("--reconnect-limit-s", rollout->reconnect_limit_s,
                   "gives up after so long without a learner")
      ->capture_default_str();
  command->add_flag_callback(
      "--no-shared-memory", [rollout] { rollout->worker.share_memory = false; },
      "weights come over gRPC from a learner on this machine too");
  command->add_option("--max-sequences", rollout->max_sequences, "completions at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  command->add_option("--cache-tokens", rollout->cache_tokens, "size of the key/value cache")
      ->capture_default_str()
      ->check(CLI::Range(64, 1 << 30));
  command->callback([&line, rollout] { line.chosen = [rollout] { return RunWorker(*rollout); }; });

  auto sft = std::make_shared<TrainOptions>();
  command =
      AddCommand(line.app, "sft", "Supervised fine-tuning alone: the [sft] part of a configuration",
                 "ponder sft configs/quickstart.toml --run runs/cold-start");
  AddRunOptions(*command, *sft);
  command->callback([&line, sft] {
    line.chosen = [sft]() -> absl::Status {
      PONDER_ASSIGN_OR_RETURN(TrainingRequest request, MakeRequest(*sft));
      request.supervised_only = true;
      return RunTraining(std::move(request));
    };
  });

  auto config = std::make_shared<TrainOptions>();
  command = AddCommand(line.app, "config", "The resolved configuration, every key with its meaning",
                       "ponder config configs/quickstart.toml --set rollout.temperature=0.8");
  command->add_option("config", config->config, "TOML file; the defaults where none is given");
  AddOverrides(*command, config->overrides, "override a key; may be repeated");
  auto reference = std::make_shared<bool>(false);
  command->add_flag("--reference", *reference, "every key as a page of Markdown");
  command->callback([&line, config, reference] {
    line.chosen = [config, reference]() -> absl::Status {
      if (*reference) {
        std::cout << ConfigReference();
        return absl::OkStatus();
      }
      absl::StatusOr<RunConfig> resolved = config->config.empty()
                                               ? ParseConfig("", "the defaults", config->overrides)
                                               : LoadConfig(config->config, config->overrides);
      PONDER_RETURN_IF_ERROR(resolved.status());
      std::cout << DumpConfig(*resolved);
      return absl::OkStatus();
    };
  });
}

}  // namespace ponder
