#include "app/session.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "app/device.h"
#include "kernels/cuda_library.h"

namespace ponder {
namespace {

// Rows of one forward when a long sequence is scored: bounds scratch memory.
constexpr int64_t kScoreRows = 2048;

}  // namespace

absl::StatusOr<kernels::DType> ParseDType(const std::string& name) {
  if (name == "bf16") return kernels::DType::kBF16;
  if (name == "f32") return kernels::DType::kF32;
  return InvalidArgument("expected bf16 or f32 as the weights' type, found '{}'", name);
}

absl::StatusOr<kernels::CpuIsa> ParseIsa(const std::string& name) {
  using kernels::CpuIsa;
  if (name == "best") return CpuIsa::kBest;
  if (name == "portable") return CpuIsa::kPortable;
  if (name == "avx2") return CpuIsa::kAvx2;
  if (name == "avx512") return CpuIsa::kAvx512;
  if (name == "avx512_bf16") return CpuIsa::kAvx512Bf16;
  if (name == "amx") return CpuIsa::kAmx;
  return InvalidArgument(
      "expected best, portable, avx2, avx512, avx512_bf16 or amx as instruction set, found '{}'",
      name);
}

absl::StatusOr<kernels::Numerics> ParseNumerics(const std::string& name) {
  if (name == "exact") return kernels::Numerics::kExact;
  if (name == "fast") return kernels::Numerics::kFast;
  return InvalidArgument("expected exact or fast as numerics, found '{}'", name);
}

absl::StatusOr<std::unique_ptr<kernels::Backend>> CreateBackend(const SessionOptions& options) {
  PONDER_ASSIGN_OR_RETURN(const kernels::CpuIsa isa, ParseIsa(options.isa));
  PONDER_ASSIGN_OR_RETURN(const kernels::Numerics numerics, ParseNumerics(options.numerics));
  PONDER_ASSIGN_OR_RETURN(const std::optional<int> gpu, ParseDevice(options.device));
  if (gpu.has_value()) {
    if (isa != kernels::CpuIsa::kBest) {
      return InvalidArgument("expected the instruction set best with the device {}, found {}",
                             options.device, options.isa);
    }
    return kernels::CreateCudaBackend({.device = *gpu, .numerics = numerics, .warn = options.warn});
  }
  if (numerics == kernels::Numerics::kFast) {
    return InvalidArgument(
        "expected the numerics exact with the device cpu, found fast: only a GPU has faster "
        "products to give exactness up for");
  }
  return kernels::CreateCpuBackend({.threads = options.threads, .isa = isa});
}

absl::StatusOr<std::unique_ptr<Session>> Session::Open(const SessionOptions& options) {
  PONDER_ASSIGN_OR_RETURN(const kernels::DType dtype, ParseDType(options.dtype));
  std::unique_ptr<Session> session(new Session);
  session->options_ = options;
  PONDER_ASSIGN_OR_RETURN(session->backend_, CreateBackend(options));
  PONDER_ASSIGN_OR_RETURN(session->model_,
                          LoadModel(*session->backend_, options.model_directory, dtype));
  if (options.needs_tokenizer && session->model_.tokenizer == nullptr) {
    return NotFound(
        "{} has no tokenizer.json: `ponder score` takes its ids, nothing else can use it",
        options.model_directory);
  }
  session->decoder_ = std::make_unique<Decoder>(*session->backend_, *session->model_.weights);
  return session;
}

absl::StatusOr<RolloutEngine*> Session::Engine(const EngineOptions& options) {
  if (engine_ == nullptr) {
    PONDER_ASSIGN_OR_RETURN(engine_, CreateEngine(*decoder_, *model_.tokenizer, options));
  }
  return engine_.get();
}

absl::StatusOr<ChatTemplate> Session::Chat() const {
  if (options_.chat_template == "auto") return DetectChatTemplate(model_.directory);
  return FindChatTemplate(options_.chat_template);
}

absl::StatusOr<std::vector<float>> Session::Score(std::span<const int32_t> ids) {
  const auto count = static_cast<int64_t>(ids.size());
  if (count > model_.config.max_positions) {
    return InvalidArgument("expected at most {} ids (the model's positions), found {}",
                           model_.config.max_positions, count);
  }
  for (int32_t id : ids) {
    if (id < 0 || id >= model_.config.vocabulary) {
      return InvalidArgument("expected ids in [0, {}), found {}", model_.config.vocabulary, id);
    }
  }
  std::vector<float> logprobs;
  if (count < 2) return logprobs;
  const int64_t pages = kernels::KvPagesFor(count);
  PONDER_ASSIGN_OR_RETURN(
      std::unique_ptr<KvCache> cache,
      KvCache::Create(*backend_, model_.config, model_.weights->Dtype(), pages));
  std::vector<int32_t> page_table(pages);
  std::iota(page_table.begin(), page_table.end(), 0);
  for (int64_t begin = 0; begin < count; begin += kScoreRows) {
    const int64_t rows = std::min(kScoreRows, count - begin);
    DecoderBatch batch;
    batch.Add(ids.subspan(begin, rows), begin,
              std::span(page_table).first(kernels::KvPagesFor(begin + rows)));
    PONDER_ASSIGN_OR_RETURN(const void* hidden, decoder_->Forward(batch, *cache));
    const int64_t targets = std::min(rows, count - 1 - begin);
    const std::vector<float> inverse_temperatures(targets, 1.0f);
    const Decoder::Scored scored =
        decoder_->LogProbs(hidden, ids.subspan(begin + 1, targets), inverse_temperatures);
    logprobs.insert(logprobs.end(), scored.logprobs.begin(), scored.logprobs.end());
  }
  return logprobs;
}

std::vector<int32_t> StopIds(const ModelConfig& config, const Tokenizer& tokenizer,
                             const ChatTemplate* chat) {
  std::vector<int32_t> ids = config.eos_ids;
  if (chat != nullptr) {
    for (const std::string& stop : chat->stops) {
      if (const std::optional<int32_t> id = tokenizer.Find(stop)) ids.push_back(*id);
    }
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

absl::Status RunRequests(RolloutEngine& engine, int64_t in_flight,
                         const std::function<absl::StatusOr<std::optional<RolloutRequest>>()>& next,
                         const std::function<absl::Status(RolloutResult)>& on_result) {
  int64_t open = 0;
  bool more = true;
  while (more || open > 0) {
    while (more && open < in_flight) {
      PONDER_ASSIGN_OR_RETURN(std::optional<RolloutRequest> request, next());
      if (!request.has_value()) {
        more = false;
        break;
      }
      open += request->sample_count;
      PONDER_RETURN_IF_ERROR(engine.Submit(*std::move(request)));
    }
    if (open == 0) continue;
    PONDER_ASSIGN_OR_RETURN(const bool worked, engine.Step());
    std::vector<RolloutResult> results = engine.Poll();
    open -= static_cast<int64_t>(results.size());
    for (RolloutResult& result : results) PONDER_RETURN_IF_ERROR(on_result(std::move(result)));
    if (!worked && results.empty() && open > 0) {
      return Internal("the engine stands still with {} completions open", open);
    }
  }
  return absl::OkStatus();
}

}  // namespace ponder
