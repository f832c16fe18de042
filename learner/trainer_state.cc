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
  kReference = 5,
  kFirstCodes = 6,
  kSecondCodes = 7,
  kFirstScales = 8,
  kSecondScales = 9,
  kSections
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

// A file has those that its optimizer had: floats or codes for the moments.
constexpr std::array kArrays = {std::pair{kMaster, Optimizer::State::kMaster},
                                std::pair{kFirstMoment, Optimizer::State::kFirstMoment},
                                std::pair{kSecondMoment, Optimizer::State::kSecondMoment},
                                std::pair{kFirstCodes, Optimizer::State::kFirstCodes},
                                std::pair{kSecondCodes, Optimizer::State::kSecondCodes},
                                std::pair{kFirstScales, Optimizer::State::kFirstScales},
                                std::pair{kSecondScales, Optimizer::State::kSecondScales}};
static_assert(kArrays.size() == Optimizer::kStates);

uint64_t LayoutHash(const ParameterLayout& layout) {
  std::string text;
  for (const TensorView& tensor : layout.tensors) {
    text += fmt::format("{}@{}", tensor.name, tensor.offset);
    for (const int64_t size : tensor.shape) text += fmt::format(":{}", size);
    text += '\n';
  }
  return XXH3_64bits(text.data(), text.size());
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

  std::string chunk;
  for (const auto& [kind, array] : kArrays) {
    const int64_t all = state.optimizer.Bytes(array);
    for (int64_t begin = 0; begin < all; begin += kStateChunkBytes) {
      chunk.resize(static_cast<size_t>(std::min(kStateChunkBytes, all - begin)));
      state.optimizer.CopyOut(array, begin, std::ssize(chunk), chunk.data());
      PONDER_RETURN_IF_ERROR(writer.Append(kind, chunk));
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
    PONDER_RETURN_IF_ERROR(CheckMoments());
    for (const auto& [kind, array] : kArrays) {
      const int64_t expected = optimizer_.Bytes(array);
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
    if (kind >= kSections || header_.count == 0)
      return DataLoss("{} has an unexpected section {} of {} bytes", path_, kind, bytes.size());
    if (kind == kReference) return CountReference(bytes);
    bytes_of_kind_[kind] += static_cast<int64_t>(bytes.size());
    return absl::OkStatus();
  }

  absl::Status CheckMoments() const {
    const bool in_file = bytes_of_kind_[kFirstCodes] > 0;
    const bool here = optimizer_.Bytes(Optimizer::State::kFirstCodes) > 0;
    if (in_file == here) return absl::OkStatus();
    const auto name = [](bool is_8bit) { return is_8bit ? "8bit" : "f32"; };
    return FailedPrecondition(
        "{} holds moments as {}, expected {}: set optimizer.moments = \"{}\" to go on from it",
        path_, name(in_file), name(here), name(in_file));
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
      optimizer_.CopyIn(array, done, std::ssize(bytes), bytes.data());
      done += std::ssize(bytes);
    }
    return absl::OkStatus();
  }

  const std::string path_;
  kernels::Backend& backend_;
  Weights& weights_;
  Optimizer& optimizer_;
  StateHeader header_;
  std::array<int64_t, kSections> bytes_of_kind_ = {};
  int64_t reference_chunks_ = 0;
};

}  // namespace

absl::Status SaveTrainer(const TrainerState& state, const std::string& model_directory,
                         const std::string& directory) {
  return WriteDirectoryAside(directory, [&](const std::string& aside) -> absl::Status {
    const Weights& weights = state.weights;
    PONDER_RETURN_IF_ERROR(WriteModel(aside, weights.Config(), weights.Layout(),
                                      state.optimizer.Flat().data(), weights.Dtype()));
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
