#include "learner/optimizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"

namespace ponder {
namespace {

constexpr int64_t kFloatBytes = sizeof(float);

using kernels::DeviceBuffer;

int64_t MomentBlocks(const ParameterLayout& layout) {
  int64_t blocks = 0;
  for (const Parameter& parameter : layout.parameters)
    blocks += kernels::MomentBlocks(parameter.Count());
  return blocks;
}

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

int64_t MomentBytes(const ParameterLayout& layout, Moments moments) {
  if (moments == Moments::kF32) return 2 * layout.count * kFloatBytes;
  return 2 * (layout.count + MomentBlocks(layout) * kFloatBytes);
}

absl::StatusOr<std::unique_ptr<Optimizer>> Optimizer::Create(kernels::Backend& backend,
                                                             Weights& weights,
                                                             std::vector<float> flat,
                                                             const OptimizerOptions& options) {
  if (options.offload && backend.Info().is_host_memory) {
    return InvalidArgument(
        "optimizer.offload moves what a GPU has no room for into the host's memory, but the device "
        "is {}, whose memory that is already; set it to false",
        backend.Info().name);
  }
  std::unique_ptr<Optimizer> optimizer(new Optimizer(backend, weights));
  PONDER_CHECK(static_cast<int64_t>(flat.size()) == optimizer->count_);
  PONDER_RETURN_IF_ERROR(optimizer->Allocate(options));
  optimizer->CopyIn(State::kMaster, 0, optimizer->count_ * kFloatBytes, flat.data());
  optimizer->SetWorking(std::move(flat));
  return optimizer;
}

absl::Status Optimizer::Allocate(const OptimizerOptions& options) {
  is_host_memory_ = options.offload || backend_->Info().is_host_memory;
  const auto take = [&](State state, int64_t bytes) -> absl::Status {
    void* memory = nullptr;
    if (options.offload) {
      PONDER_ASSIGN_OR_RETURN(host_.emplace_back(), kernels::HostBuffer::Create(*backend_, bytes));
      memory = host_.back().As<void>();
    } else {
      PONDER_ASSIGN_OR_RETURN(device_.emplace_back(), DeviceBuffer::Create(*backend_, bytes));
      memory = device_.back().As<void>();
    }
    states_[static_cast<size_t>(state)] = {memory, bytes};
    return absl::OkStatus();
  };
  const int64_t floats = count_ * kFloatBytes;
  PONDER_RETURN_IF_ERROR(take(State::kMaster, floats));
  PONDER_ASSIGN_OR_RETURN(gradients_, DeviceBuffer::Create(*backend_, floats));
  if (options.moments == Moments::kF32) {
    PONDER_RETURN_IF_ERROR(take(State::kFirstMoment, floats));
    return take(State::kSecondMoment, floats);
  }
  int64_t blocks = 0;
  for (const Parameter& parameter : weights_->Layout().parameters) {
    first_blocks_.push_back(blocks);
    blocks += kernels::MomentBlocks(parameter.Count());
  }
  PONDER_RETURN_IF_ERROR(take(State::kFirstCodes, count_));
  PONDER_RETURN_IF_ERROR(take(State::kSecondCodes, count_));
  PONDER_RETURN_IF_ERROR(take(State::kFirstScales, blocks * kFloatBytes));
  return take(State::kSecondScales, blocks * kFloatBytes);
}

void Optimizer::ZeroGradients() { backend_->Zero(gradients_.As<float>(), gradients_.Bytes()); }

double Optimizer::GradientNorm() const {
  double sum = 0;
  for (const Parameter& parameter : weights_->Layout().parameters)
    sum += backend_->SquaredNorm(gradients_.As<float>() + parameter.offset, parameter.Count());
  return std::sqrt(sum);
}

std::string Optimizer::FirstBadGradient() const { return FirstBad(gradients_.As<float>()); }
std::string Optimizer::FirstBadWeight() const { return FirstBad(Array<float>(State::kMaster)); }

std::string Optimizer::FirstBad(const float* values) const {
  // A finite float's square never overflows the double sum, so a sum that is not finite means an
  // element that is not.
  for (const TensorView& tensor : weights_->Layout().tensors) {
    if (!std::isfinite(backend_->SquaredNorm(values + tensor.offset, tensor.Count())))
      return tensor.name;
  }
  return "";
}

void Optimizer::StepParameter(size_t index, const OptimizerSettings& settings, float learning_rate,
                              float gradient_scale) {
  const Parameter& parameter = weights_->Layout().parameters[index];
  const bool is_vector = parameter.role == Parameter::Role::kVector;
  kernels::AdamWArgs args = {
      .master = Array<float>(State::kMaster) + parameter.offset,
      .gradient = gradients_.As<float>() + parameter.offset,
      .working =
          is_vector ? kernels::PackedMatrix{} : weights_->Matrix(static_cast<int64_t>(index)),
      .rows = parameter.rows,
      .columns = parameter.columns,
      .learning_rate = learning_rate,
      .beta1 = static_cast<float>(settings.beta1),
      .beta2 = static_cast<float>(settings.beta2),
      .epsilon = static_cast<float>(settings.epsilon),
      .weight_decay = is_vector ? 0.0f : static_cast<float>(settings.weight_decay),
      .gradient_scale = gradient_scale,
      .step = updates_};
  if (first_blocks_.empty()) {
    args.first_moment = Array<float>(State::kFirstMoment) + parameter.offset;
    args.second_moment = Array<float>(State::kSecondMoment) + parameter.offset;
  } else {
    args.first_codes = Array<uint8_t>(State::kFirstCodes) + parameter.offset;
    args.second_codes = Array<uint8_t>(State::kSecondCodes) + parameter.offset;
    args.first_scales = Array<float>(State::kFirstScales) + first_blocks_[index];
    args.second_scales = Array<float>(State::kSecondScales) + first_blocks_[index];
  }
  backend_->AdamW(args);
}

void Optimizer::Step(const OptimizerSettings& settings, double learning_rate,
                     double gradient_scale) {
  ++updates_;
  const std::vector<Parameter>& parameters = weights_->Layout().parameters;
  for (size_t i = 0; i < parameters.size(); ++i)
    StepParameter(i, settings, static_cast<float>(learning_rate),
                  static_cast<float>(gradient_scale));
  // Behind all matrices, since each waits for the device.
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& parameter = parameters[i];
    if (parameter.role != Parameter::Role::kVector) continue;
    std::vector<float> values(static_cast<size_t>(parameter.Count()));
    const int64_t bytes = parameter.Count() * kFloatBytes;
    CopyOut(State::kMaster, parameter.offset * kFloatBytes, bytes, values.data());
    RoundTo(weights_->Dtype(), values);
    backend_->CopyIn(weights_->Vector(static_cast<int64_t>(i)), values.data(), bytes);
  }
  weights_->SetVersion(weights_->Version() + 1);
}

void Optimizer::Reset() {
  // Codes mean nothing behind a scale of 0.
  for (const State state :
       {State::kFirstMoment, State::kSecondMoment, State::kFirstScales, State::kSecondScales}) {
    if (Bytes(state) == 0) continue;
    if (is_host_memory_) {
      backend_->Synchronize();  // a GPU may be writing it
      std::memset(Array<char>(state), 0, static_cast<size_t>(Bytes(state)));
    } else {
      backend_->Zero(Array<char>(state), Bytes(state));
    }
  }
  updates_ = 0;
}

void Optimizer::CopyOut(State state, int64_t begin, int64_t bytes, void* host) const {
  PONDER_CHECK(begin >= 0 && bytes >= 0 && begin + bytes <= Bytes(state));
  const char* const from = Array<char>(state) + begin;
  if (!is_host_memory_) return backend_->CopyOut(host, from, bytes);
  backend_->Synchronize();
  std::memcpy(host, from, static_cast<size_t>(bytes));
}

void Optimizer::CopyIn(State state, int64_t begin, int64_t bytes, const void* host) {
  PONDER_CHECK(begin >= 0 && bytes >= 0 && begin + bytes <= Bytes(state));
  char* const to = Array<char>(state) + begin;
  if (!is_host_memory_) return backend_->CopyIn(to, host, bytes);
  backend_->Synchronize();
  std::memcpy(to, host, static_cast<size_t>(bytes));
}

std::vector<float> Optimizer::Flat() const {
  std::vector<float> flat(static_cast<size_t>(count_));
  CopyOut(State::kMaster, 0, count_ * kFloatBytes, flat.data());
  return flat;
}

void Optimizer::RestoreWorking() { SetWorking(Flat()); }

void Optimizer::SetWorking(std::vector<float> flat) {
  for (const Parameter& parameter : weights_->Layout().parameters) {
    if (parameter.role != Parameter::Role::kVector) continue;
    RoundTo(weights_->Dtype(), std::span(flat).subspan(static_cast<size_t>(parameter.offset),
                                                       static_cast<size_t>(parameter.Count())));
  }
  weights_->SetFromFlat(flat.data());
}

}  // namespace ponder
