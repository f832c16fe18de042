#include "tests/learner/twin_trainer.h"

#include <torch/torch.h>

#include <cmath>
#include <utility>

namespace ponder::reference {

struct TwinTrainer::Impl {
  ModelConfig config;
  OptimizerSettings settings;
  int64_t drawable_tokens = -1;
  std::map<std::string, torch::Tensor> parameters;  // double
  std::unique_ptr<torch::optim::AdamW> optimizer;

  NamedTensors Tensors() const {
    NamedTensors tensors;
    for (const auto& [name, parameter] : parameters) {
      const torch::Tensor flat = parameter.detach().to(torch::kFloat32).contiguous().reshape({-1});
      tensors[name] = {.shape = parameter.sizes().vec(),
                       .values = {flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel()}};
    }
    return tensors;
  }
  TorchResult Run(const TwinSequence& sequence, std::vector<double> d_logprobs) const {
    const bool gradients = !d_logprobs.empty();
    return RunTorchDecoder(config, Tensors(),
                           {{.ids = sequence.ids, .d_logprobs = std::move(d_logprobs)}},
                           {.precision = Precision::kF64,
                            .inverse_temperature = sequence.inverse_temperature,
                            .drawable_tokens = drawable_tokens,
                            .gradients = gradients});
  }
};

TwinTrainer::TwinTrainer(const ModelConfig& config, NamedTensors tensors,
                         const OptimizerSettings& settings, int64_t drawable_tokens)
    : impl_(std::make_unique<Impl>()) {
  impl_->config = config;
  impl_->settings = settings;
  impl_->drawable_tokens = drawable_tokens;
  std::vector<torch::Tensor> matrices, vectors;
  for (const auto& [name, tensor] : tensors) {
    torch::Tensor parameter = torch::tensor(tensor.values, torch::kFloat32)
                                  .reshape(tensor.shape)
                                  .to(torch::kFloat64)
                                  .requires_grad_(true);
    impl_->parameters[name] = parameter;
    (tensor.shape.size() == 2 ? matrices : vectors).push_back(parameter);
  }
  const auto options = [&](double weight_decay) {
    return std::make_unique<torch::optim::AdamWOptions>(
        torch::optim::AdamWOptions(settings.learning_rate)
            .betas({settings.beta1, settings.beta2})
            .eps(settings.epsilon)
            .weight_decay(weight_decay));
  };
  impl_->optimizer =
      std::make_unique<torch::optim::AdamW>(std::vector<torch::optim::OptimizerParamGroup>{
          {matrices, options(settings.weight_decay)}, {vectors, options(0)}});
}

TwinTrainer::~TwinTrainer() = default;

std::vector<std::vector<double>> TwinTrainer::LogProbs(
    const std::vector<TwinSequence>& sequences) const {
  std::vector<std::vector<double>> logprobs;
  for (const TwinSequence& sequence : sequences)
    logprobs.push_back(impl_->Run(sequence, {}).logprobs[0]);
  return logprobs;
}

double TwinTrainer::Step(const std::vector<TwinSequence>& sequences,
                         const std::vector<std::vector<double>>& d_logprobs) {
  for (auto& [name, parameter] : impl_->parameters)
    parameter.mutable_grad() = torch::zeros_like(parameter);
  for (size_t i = 0; i < sequences.size(); ++i) {
    const TorchResult result = impl_->Run(sequences[i], d_logprobs[i]);
    for (auto& [name, parameter] : impl_->parameters)
      parameter.mutable_grad() +=
          torch::tensor(result.gradients.at(name), torch::kFloat64).reshape(parameter.sizes());
  }
  double squares = 0;
  for (const auto& [name, parameter] : impl_->parameters)
    squares += parameter.grad().pow(2).sum().item<double>();
  const double norm = std::sqrt(squares);
  const double limit = impl_->settings.max_gradient_norm;
  if (limit > 0 && norm > limit) {
    for (auto& [name, parameter] : impl_->parameters) parameter.mutable_grad() *= limit / norm;
  }
  impl_->optimizer->step();
  return norm;
}

NamedTensors TwinTrainer::Tensors() const { return impl_->Tensors(); }

}  // namespace ponder::reference
