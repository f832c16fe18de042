#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"
#include "kernels/cuda/numerics.h"
#include "model/decoder.h"
#include "model/model.h"
#include "rollout/engine.h"

namespace ponder {

// What a command needs to run a model: chosen on the command line, the same for all of them.
struct SessionOptions {
  std::string model_directory;
  std::string dtype = "bf16";          // "bf16", "f32"
  std::string device = "cpu";          // "cpu", "cuda", "cuda:1"
  std::string numerics = "exact";      // "exact", "fast"
  std::string isa = "best";            // "best", "portable", "avx2", "avx512", "avx512_bf16", "amx"
  int64_t threads = 0;                 // of the CPU; 0 = one a usable core
  bool needs_tokenizer = true;         // false: a directory without tokenizer.json will do
  std::string chat_template = "auto";  // "auto" or a name of model/chat_template.h
  std::function<void(const std::string&)> warn;  // told what slows the device down; may be empty
};

absl::StatusOr<kernels::DType> ParseDType(const std::string& name);
absl::StatusOr<kernels::CpuIsa> ParseIsa(const std::string& name);
absl::StatusOr<kernels::Numerics> ParseNumerics(const std::string& name);
absl::StatusOr<std::unique_ptr<kernels::Backend>> CreateBackend(const SessionOptions& options);

// A model ready to run in this process. The engine is made on first use.
class Session {
 public:
  static absl::StatusOr<std::unique_ptr<Session>> Open(const SessionOptions& options);

  kernels::Backend& GetBackend() { return *backend_; }
  LoadedModel& Model() { return model_; }
  const Tokenizer& GetTokenizer() const { return *model_.tokenizer; }
  Decoder& GetDecoder() { return *decoder_; }
  absl::StatusOr<RolloutEngine*> Engine(const EngineOptions& options = {});
  // The directory's chat template, or the one asked for.
  absl::StatusOr<ChatTemplate> Chat() const;

  // Log-prob of each token after the first, at temperature 1.
  absl::StatusOr<std::vector<float>> Score(std::span<const int32_t> ids);

 private:
  Session() = default;

  SessionOptions options_;
  std::unique_ptr<kernels::Backend> backend_;
  LoadedModel model_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<RolloutEngine> engine_;
};

// Token ids that end an answer: the configuration's end-of-sequence ids and the template's stop
// tokens.
std::vector<int32_t> StopIds(const ModelConfig& config, const Tokenizer& tokenizer,
                             const ChatTemplate* chat);

// Runs requests through an engine, at most `in_flight` completions at once; `next` gives the next
// request or nothing at the end, `on_result` takes completions in the order in which they end.
absl::Status RunRequests(RolloutEngine& engine, int64_t in_flight,
                         const std::function<absl::StatusOr<std::optional<RolloutRequest>>()>& next,
                         const std::function<absl::Status(RolloutResult)>& on_result);

}  // namespace ponder
