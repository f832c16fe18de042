#include "learner/optimizer.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"

namespace ponder {
namespace {

constexpr int64_t kFloatBytes = sizeof(float);

// Working vectors are fp32, but hold what a checkpoint of the working type can store.
void RoundTo(kernels::DType dtype, std::span<float> values) {
  if (dtype != kernels::DType::kBF16) return;
  for (float& value : values) value = kernels::ToF32(kernels::ToBF16(value));
}

}  // namespace

absl::Status CheckOptimizerSettings(const OptimizerSettings& settings) {
  const auto check = [](bool good, std::string_view key, std::string_view expected, double found) {
    return good ? absl::OkStatus()
                : InvalidArgument("optimizer.{} must be {}, found {}", key, expected, found);
  };
  PONDER_RETURN_IF_ERROR(check(settings.learning_rate >= 0 && std::isfinite(settings.learning_rate),
                               "learning_rate", "at least 0", settings.learning_rate));
  PONDER_RETURN_IF_ERROR(
      check(settings.beta1 >= 0 && settings.beta1 < 1, "beta1", "in [0, 1)", settings.beta1));
  PONDER_RETURN_IF_ERROR(
      check(settings.beta2 >= 0 && settings.beta2 < 1, "beta2", "in [0, 1)", settings.beta2));
  PONDER_RETURN_IF_ERROR(check(settings.epsilon > 0, "epsilon", "above 0", settings.epsilon));
  PONDER_RETURN_IF_ERROR(
      check(settings.weight_decay >= 0, "weight_decay", "at least 0", settings.weight_decay));
  PONDER_RETURN_IF_ERROR(check(settings.max_gradient_norm >= 0, "max_gradient_norm", "at least 0",
                               settings.max_gradient_norm));
  PONDER_RETURN_IF_ERROR(check(settings.warmup_updates >= 0, "warmup_updates", "at least 0",
                               static_cast<double>(settings.warmup_updates)));
  if (settings.schedule == "constant") return absl::OkStatus();
  if (settings.schedule != "linear" && settings.schedule != "cosine")
    return InvalidArgument("optimizer.schedule is '{}', expected constant, linear or cosine",
                           settings.schedule);
  if (settings.total_updates <= settings.warmup_updates)
    return InvalidArgument(
        "optimizer.total_updates is {}, expected more than the {} warm-up updates for schedule "
        "'{}'",
        settings.total_updates, settings.warmup_updates, settings.schedule);
  return absl::OkStatus();
}

double LearningRate(const OptimizerSettings& settings, int64_t update) {
  if (update < settings.warmup_updates) {
    return settings.learning_rate * static_cast<double>(update + 1) /
           static_cast<double>(settings.warmup_updates);
  }
  if (settings.schedule == "constant") return settings.learning_rate;
  const double done = static_cast<double>(update - settings.warmup_updates);
  const double all = static_cast<double>(settings.total_updates - settings.warmup_updates);
  const double progress = std::min(1.0, done / all);
  if (settings.schedule == "linear") return settings.learning_rate * (1 - progress);
  return settings.learning_rate * 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

absl::StatusOr<std::unique_ptr<Optimizer>> Optimizer::Create(kernels::Backend& backend,
                                                             Weights& weights,
                                                             std::vector<float> flat) {
  std::unique_ptr<Optimizer> optimizer(new Optimizer(backend, weights));
  PONDER_CHECK(static_cast<int64_t>(flat.size()) == optimizer->count_);
  const int64_t bytes = optimizer->count_ * kFloatBytes;
  PONDER_ASSIGN_OR_RETURN(optimizer->master_, kernels::DeviceBuffer::Create(backend, bytes));
  PONDER_ASSIGN_OR_RETURN(optimizer->gradients_, kernels::DeviceBuffer::Create(backend, bytes));
  PONDER_ASSIGN_OR_RETURN(optimizer->first_moment_, kernels::DeviceBuffer::Create(backend, bytes));
  PONDER_ASSIGN_OR_RETURN(optimizer->second_moment_, kernels::DeviceBuffer::Create(backend, bytes));
  backend.CopyIn(optimizer->master_.As<float>(), flat.data(), bytes);
  optimizer->SetWorking(std::move(flat));
  return optimizer;
}

void Optimizer::ZeroGradients() { backend_->Zero(gradients_.As<float>(), gradients_.Bytes()); }

double Optimizer::GradientNorm() const {
  double sum = 0;
  for (const Parameter& parameter : weights_->Layout().parameters)
    sum += backend_->SquaredNorm(gradients_.As<float>() + parameter.offset, parameter.Count());
  return std::sqrt(sum);
}

std::string Optimizer::FirstBadGradient() const { return FirstBad(gradients_.As<float>()); }
std::string Optimizer::FirstBadWeight() const { return FirstBad(master_.As<float>()); }

std::string Optimizer::FirstBad(const float* values) const {
  // A finite float's square never overflows the double sum, so a sum that is not finite means an
  // element that is not.
  for (const TensorView& tensor : weights_->Layout().tensors) {
    if (!std::isfinite(backend_->SquaredNorm(values + tensor.offset, tensor.Count())))
      return tensor.name;
  }
  return "";
}

void Optimizer::Step(const OptimizerSettings& settings, double learning_rate,
                     double gradient_scale) {
  ++updates_;
  const ParameterLayout& layout = weights_->Layout();
  for (size_t i = 0; i < layout.parameters.size(); ++i) {
    const Parameter& parameter = layout.parameters[i];
    const bool is_vector = parameter.role == Parameter::Role::kVector;
    const int64_t index = static_cast<int64_t>(i);
    backend_->AdamW({.master = master_.As<float>() + parameter.offset,
                     .first_moment = first_moment_.As<float>() + parameter.offset,
                     .second_moment = second_moment_.As<float>() + parameter.offset,
                     .gradient = gradients_.As<float>() + parameter.offset,
                     .working = is_vector ? kernels::PackedMatrix{} : weights_->Matrix(index),
                     .rows = parameter.rows,
                     .columns = parameter.columns,
                     .learning_rate = static_cast<float>(learning_rate),
                     .beta1 = static_cast<float>(settings.beta1),
                     .beta2 = static_cast<float>(settings.beta2),
                     .epsilon = static_cast<float>(settings.epsilon),
                     .weight_decay = is_vector ? 0.0f : static_cast<float>(settings.weight_decay),
                     .gradient_scale = static_cast<float>(gradient_scale),
                     .step = updates_});
    if (is_vector) {
      std::vector<float> values(static_cast<size_t>(parameter.Count()));
      const int64_t bytes = parameter.Count() * kFloatBytes;
      backend_->CopyOut(values.data(), master_.As<float>() + parameter.offset, bytes);
      RoundTo(weights_->Dtype(), values);
      backend_->CopyIn(weights_->Vector(index), values.data(), bytes);
    }
  }
  weights_->SetVersion(weights_->Version() + 1);
}

void Optimizer::Reset() {
  backend_->Zero(first_moment_.As<float>(), first_moment_.Bytes());
  backend_->Zero(second_moment_.As<float>(), second_moment_.Bytes());
  updates_ = 0;
}

float* Optimizer::Array(State state) const {
  switch (state) {
    case State::kMaster:
      return master_.As<float>();
    case State::kFirstMoment:
      return first_moment_.As<float>();
    case State::kSecondMoment:
      return second_moment_.As<float>();
  }
  return nullptr;
}

void Optimizer::CopyOut(State state, int64_t begin, int64_t count, float* host) const {
  PONDER_CHECK(begin >= 0 && count >= 0 && begin + count <= count_);
  backend_->CopyOut(host, Array(state) + begin, count * kFloatBytes);
}

void Optimizer::CopyIn(State state, int64_t begin, int64_t count, const float* host) {
  PONDER_CHECK(begin >= 0 && count >= 0 && begin + count <= count_);
  backend_->CopyIn(Array(state) + begin, host, count * kFloatBytes);
}

void Optimizer::RestoreWorking() {
  std::vector<float> flat(static_cast<size_t>(count_));
  CopyOut(State::kMaster, 0, count_, flat.data());
  SetWorking(std::move(flat));
}

void Optimizer::SetWorking(std::vector<float> flat) {
  for (const Parameter& parameter : weights_->Layout().parameters) {
    if (parameter.role != Parameter::Role::kVector) continue;
    RoundTo(weights_->Dtype(), std::span(flat).subspan(static_cast<size_t>(parameter.offset),
                                                       static_cast<size_t>(parameter.Count())));
  }
  weights_->SetFromFlat(flat.data());
}

}  // namespace ponder
