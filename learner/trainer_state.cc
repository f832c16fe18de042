#include "learner/trainer_state.h"

#include <xxhash.h>

#include <array>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "learner/checkpoint.h"

namespace ponder {
namespace {

enum SectionKind : uint32_t {
  kHeader = 1,
  kMaster = 2,
  kFirstMoment = 3,
  kSecondMoment = 4,
  kReference = 5
};

// The first section.
struct StateHeader {
  uint64_t layout_hash = 0;
  int64_t count = 0;    // P
  int64_t working = 0;  // WorkingKind
  int64_t policy_version = 0;
  int64_t updates = 0;  // of the optimizer since its phase began
  int64_t bad_updates_in_row = 0;
  int64_t has_reference = 0;
  int64_t reference_version = 0;
};

// The type of the working weights and, above, the order in which the reference's bytes lie.
constexpr int kOrderShift = 8;
constexpr int64_t WorkingKind(kernels::DType dtype, kernels::MatrixOrder order) {
  return static_cast<int64_t>(dtype) | static_cast<int64_t>(order) << kOrderShift;
}

constexpr std::array kArrays = {std::pair{kMaster, Optimizer::State::kMaster},
                                std::pair{kFirstMoment, Optimizer::State::kFirstMoment},
                                std::pair{kSecondMoment, Optimizer::State::kSecondMoment}};

uint64_t LayoutHash(const ParameterLayout& layout) {
  std::string text;
  for (const TensorView& tensor : layout.tensors) {
    text += fmt::format("{}@{}", tensor.name, tensor.offset);
    for (const int64_t size : tensor.shape) text += fmt::format(":{}", size);
    text += '\n';
  }
  return XXH3_64bits(text.data(), text.size());
}

std::string_view BytesOf(const float* values, int64_t count) {
  return {reinterpret_cast<const char*>(values), static_cast<size_t>(count) * sizeof(float)};
}

absl::Status WriteState(const TrainerState& state, const std::string& path) {
  const Weights& weights = state.weights;
  PONDER_ASSIGN_OR_RETURN(StateWriter writer, StateWriter::Create(path));
  const StateHeader header{
      .layout_hash = LayoutHash(weights.Layout()),
      .count = weights.Layout().count,
      .working = WorkingKind(weights.Dtype(), weights.Order()),
      .policy_version = weights.Version(),
      .updates = state.optimizer.Updates(),
      .bad_updates_in_row = state.bad_updates_in_row,
      .has_reference = state.reference != nullptr,
      .reference_version = state.reference != nullptr ? state.reference->Version() : 0};
  PONDER_RETURN_IF_ERROR(
      writer.Append(kHeader, {reinterpret_cast<const char*>(&header), sizeof(header)}));

  constexpr int64_t kChunk = kStateChunkBytes / int64_t{sizeof(float)};
  std::vector<float> chunk(static_cast<size_t>(std::min(kChunk, header.count)));
  for (const auto& [kind, array] : kArrays) {
    for (int64_t begin = 0; begin < header.count; begin += kChunk) {
      const int64_t count = std::min(kChunk, header.count - begin);
      state.optimizer.CopyOut(array, begin, count, chunk.data());
      PONDER_RETURN_IF_ERROR(writer.Append(kind, BytesOf(chunk.data(), count)));
    }
  }
  if (state.reference != nullptr) {  // one chunk a parameter
    for (int64_t i = 0; i < static_cast<int64_t>(weights.Layout().parameters.size()); ++i)
      PONDER_RETURN_IF_ERROR(writer.Append(kReference, state.reference->ExportWorking(i)));
  }
  return writer.Close();
}

// Takes the chunks of a file whose checksums fit, in two passes: the first only looks whether they
// are those of this model.
class StateReader {
 public:
  StateReader(const std::string& path, kernels::Backend& backend, Weights& weights,
              Optimizer& optimizer)
      : path_(path), backend_(backend), weights_(weights), optimizer_(optimizer) {}

  absl::Status Check() {
    PONDER_RETURN_IF_ERROR(ReadState(
        path_, [this](uint32_t kind, std::string_view bytes) { return Count(kind, bytes); }));
    for (const auto& [kind, array] : kArrays) {
      const int64_t expected = weights_.Layout().count * int64_t{sizeof(float)};
      if (bytes_of_kind_[kind] != expected)
        return DataLoss("{} has {} bytes in section {}, expected {}", path_, bytes_of_kind_[kind],
                        static_cast<int>(kind), expected);
    }
    const int64_t expected =
        header_.has_reference != 0 ? static_cast<int64_t>(weights_.Layout().parameters.size()) : 0;
    if (reference_chunks_ != expected)
      return DataLoss("{} has {} parameters of a reference policy, expected {}", path_,
                      reference_chunks_, expected);
    return absl::OkStatus();
  }

  absl::Status Take(std::unique_ptr<Weights>& reference, TrainerCounters& counters) {
    std::unique_ptr<Weights> made;
    if (header_.has_reference != 0) {
      PONDER_ASSIGN_OR_RETURN(made, MakeReference(backend_, weights_));
      made->SetVersion(header_.reference_version);
    }
    bytes_of_kind_ = {};
    reference_chunks_ = 0;
    PONDER_RETURN_IF_ERROR(ReadState(path_, [&](uint32_t kind, std::string_view bytes) {
      return TakeChunk(kind, bytes, made.get());
    }));
    optimizer_.SetUpdates(header_.updates);
    optimizer_.RestoreWorking();
    weights_.SetVersion(header_.policy_version);
    counters.bad_updates_in_row = header_.bad_updates_in_row;
    reference = std::move(made);
    return absl::OkStatus();
  }

 private:
  absl::Status Count(uint32_t kind, std::string_view bytes) {
    if (kind == kHeader) {
      if (bytes.size() != sizeof(header_))
        return DataLoss("{} has a header of {} bytes", path_, bytes.size());
      std::memcpy(&header_, bytes.data(), sizeof(header_));
      if (header_.layout_hash != LayoutHash(weights_.Layout()) ||
          header_.count != weights_.Layout().count)
        return FailedPrecondition(
            "{} is the state of another model: {} parameters, expected {} in the same tensors",
            path_, header_.count, weights_.Layout().count);
      if (header_.has_reference != 0 &&
          header_.working != WorkingKind(weights_.Dtype(), kernels::MatrixOrder::kPanels) &&
          header_.working != WorkingKind(weights_.Dtype(), kernels::MatrixOrder::kRows))
        return FailedPrecondition(
            "{} holds a reference policy of another type than {}; train with the type it was saved "
            "with",
            path_, kernels::ToString(weights_.Dtype()));
      return absl::OkStatus();
    }
    if (kind > kReference || bytes.size() % sizeof(float) != 0 || header_.count == 0)
      return DataLoss("{} has an unexpected section {} of {} bytes", path_, kind, bytes.size());
    if (kind == kReference) return CountReference(bytes);
    bytes_of_kind_[kind] += static_cast<int64_t>(bytes.size());
    return absl::OkStatus();
  }

  absl::Status CountReference(std::string_view bytes) {
    const int64_t index = reference_chunks_++;
    if (index >= static_cast<int64_t>(weights_.Layout().parameters.size()) ||
        static_cast<int64_t>(bytes.size()) != weights_.WorkingBytes(index))
      return DataLoss("{} has {} bytes for parameter {} of the reference policy", path_,
                      bytes.size(), index);
    return absl::OkStatus();
  }

  absl::Status TakeChunk(uint32_t kind, std::string_view bytes, Weights* reference) {
    if (kind == kReference) {
      const auto order = static_cast<kernels::MatrixOrder>(header_.working >> kOrderShift);
      return reference->ImportWorking(reference_chunks_++, bytes, order);
    }
    for (const auto& [array_kind, array] : kArrays) {
      if (array_kind != kind) continue;
      int64_t& done = bytes_of_kind_[kind];
      std::vector<float> values(bytes.size() /
                                sizeof(float));  // the file's bytes may lie unaligned
      std::memcpy(values.data(), bytes.data(), bytes.size());
      optimizer_.CopyIn(array, done / int64_t{sizeof(float)}, static_cast<int64_t>(values.size()),
                        values.data());
      done += static_cast<int64_t>(bytes.size());
    }
    return absl::OkStatus();
  }

  const std::string path_;
  kernels::Backend& backend_;
  Weights& weights_;
  Optimizer& optimizer_;
  StateHeader header_;
  std::array<int64_t, kReference + 1> bytes_of_kind_ = {};
  int64_t reference_chunks_ = 0;
};

}  // namespace

absl::Status SaveTrainer(const TrainerState& state, const std::string& model_directory,
                         const std::string& directory) {
  return WriteDirectoryAside(directory, [&](const std::string& aside) -> absl::Status {
    const Weights& weights = state.weights;
    {
      std::vector<float> flat(static_cast<size_t>(weights.Layout().count));
      state.optimizer.CopyOut(Optimizer::State::kMaster, 0, weights.Layout().count, flat.data());
      PONDER_RETURN_IF_ERROR(
          WriteModel(aside, weights.Config(), weights.Layout(), flat.data(), weights.Dtype()));
    }
    PONDER_RETURN_IF_ERROR(CopyTokenizerFiles(model_directory, aside));
    return WriteState(state, aside + "/trainer_state.bin");
  });
}

absl::Status LoadTrainer(const std::string& directory, kernels::Backend& backend, Weights& weights,
                         Optimizer& optimizer, std::unique_ptr<Weights>& reference,
                         TrainerCounters& counters) {
  StateReader reader(directory + "/trainer_state.bin", backend, weights, optimizer);
  PONDER_RETURN_IF_ERROR(reader.Check());
  return reader.Take(reference, counters);
}

absl::StatusOr<std::unique_ptr<Weights>> MakeReference(kernels::Backend& backend,
                                                       const Weights& weights) {
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<Weights> reference,
                          Weights::Create(backend, weights.Config(), weights.Dtype()));
  reference->SetDrawableTokens(weights.DrawableTokens());
  return reference;
}

}  // namespace ponder
