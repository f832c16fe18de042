#include "model/model.h"

#include <algorithm>
#include <filesystem>

#include "model/checkpoint.h"

namespace ponder {

absl::StatusOr<LoadedModel> LoadModel(kernels::Backend& backend, const std::string& directory,
                                      kernels::DType dtype, std::vector<float>* flat) {
  LoadedModel model;
  model.directory = directory;
  PONDER_ASSIGN_OR_RETURN(model.config, LoadModelConfig(directory));
  if (std::filesystem::exists(directory + "/tokenizer.json")) {
    PONDER_ASSIGN_OR_RETURN(model.tokenizer, LoadTokenizer(directory));
  }
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<TensorSource> source, OpenSafetensors(directory));
  if (absl::Status status = CheckTensors(*source, model.config, MakeParameterLayout(model.config));
      !status.ok()) {
    return Annotate(status, directory);
  }
  PONDER_ASSIGN_OR_RETURN(model.weights, Weights::Create(backend, model.config, dtype));
  const ParameterLayout& layout = model.weights->Layout();
  absl::Status read;
  if (flat == nullptr) {
    read = ReadWeights(*source, *model.weights);
  } else {
    flat->resize(static_cast<size_t>(layout.count));
    read = ReadFlat(*source, model.config, layout, flat->data());
    if (read.ok()) model.weights->SetFromFlat(flat->data());
  }
  if (!read.ok()) return Annotate(read, directory);
  if (model.tokenizer != nullptr) {
    model.weights->SetDrawableTokens(std::min(model.config.vocabulary, model.tokenizer->Size()));
  }
  return model;
}

}  // namespace ponder
