#include "model/gguf_convert.h"

#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "model/checkpoint.h"
#include "model/gguf_source.h"
#include "model/model.h"

namespace ponder {
namespace {

absl::Status WriteAside(const GgufSource& source, const std::string& directory) {
  const GgufFile& file = source.File();
  PONDER_ASSIGN_OR_RETURN(const std::string config_json, GgufModelConfig(file));
  PONDER_ASSIGN_OR_RETURN(const std::string generation_json, GgufGenerationConfig(file));
  PONDER_ASSIGN_OR_RETURN(const std::string tokenizer, GgufTokenizer(file));
  PONDER_ASSIGN_OR_RETURN(const std::string tokenizer_config, GgufTokenizerConfig(file));
  PONDER_ASSIGN_OR_RETURN(const ModelConfig config, ParseModelConfig(config_json, generation_json));
  PONDER_ASSIGN_OR_RETURN(const auto* tokens, file.Strings("tokenizer.ggml.tokens"));
  if (static_cast<int64_t>(tokens->size()) > config.vocabulary) {
    return InvalidArgument("expected a row of token_embd.weight for each of {} tokens, found {}",
                           tokens->size(), config.vocabulary);
  }
  const ParameterLayout layout = MakeParameterLayout(config);
  PONDER_RETURN_IF_ERROR(CheckTensors(source, config, layout));
  std::vector<float> flat(static_cast<size_t>(layout.count));
  PONDER_RETURN_IF_ERROR(ReadFlat(source, config, layout, flat.data()));
  PONDER_RETURN_IF_ERROR(MakeDirectories(directory));
  PONDER_RETURN_IF_ERROR(WriteFileAtomically(directory + "/tokenizer.json", tokenizer));
  PONDER_RETURN_IF_ERROR(
      WriteFileAtomically(directory + "/tokenizer_config.json", tokenizer_config));
  return WriteModel(directory, config, layout, flat.data(), kernels::DType::kBF16);
}

}  // namespace

absl::Status ConvertGguf(const std::string& gguf_path, const std::string& directory) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (fs::exists(directory, error) && !fs::is_empty(directory, error)) {
    return FailedPrecondition("{} is there already; remove it or choose another folder", directory);
  }
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<GgufSource> source, GgufSource::Open(gguf_path));
  const fs::path target = fs::absolute(directory).lexically_normal();
  const std::string name = target.has_filename() ? target.string() : target.parent_path().string();
  const std::string aside = fmt::format("{}.{}.partial", name, getpid());
  absl::Status status = WriteAside(*source, aside);
  if (status.ok()) status = RenameDirectory(aside, name);
  if (status.ok()) return status;
  fs::remove_all(aside, error);
  return Annotate(status, gguf_path);
}

}  // namespace ponder
