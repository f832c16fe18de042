#include "model/decoder.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "kernels/attention_plan.h"
#include "kernels/host_buffer.h"
#include "model/activations.h"
#include "model/attention_runs.h"
#include "model/decoder_pass.h"
#include "model/recordings.h"

namespace ponder {
namespace {

using kernels::AttentionSequence;
using kernels::DeviceBuffer;
using kernels::DType;
using kernels::PaddedInputs;

// Makes `buffer` hold at least `bytes`; what was inside is lost when it grows.
absl::Status Reserve(kernels::Backend& backend, int64_t bytes, DeviceBuffer* buffer) {
  if (buffer->Bytes() >= bytes) return absl::OkStatus();
  *buffer = DeviceBuffer();
  PONDER_ASSIGN_OR_RETURN(*buffer, DeviceBuffer::Create(backend, bytes + bytes / 2));
  return absl::OkStatus();
}

int64_t Group(const ModelConfig& config) { return config.heads / config.kv_heads; }

// One more than the highest page of a batch.
int64_t PagesUpTo(const DecoderBatch& batch) {
  int64_t end = 0;
  for (const std::vector<int32_t>& pages : batch.page_tables) {
    for (const int32_t page : pages) end = std::max<int64_t>(end, page + 1);
  }
  return end;
}

// What a broken caller would turn into wrong numbers without a sound.
void CheckBatch(const DecoderBatch& batch, const kernels::KvShape& cache, int64_t vocabulary) {
  const size_t rows = batch.ids.size();
  PONDER_CHECK(batch.positions.size() == rows && batch.slots.size() == rows,
               fmt::format("{} ids, {} positions, {} slots", rows, batch.positions.size(),
                           batch.slots.size()));
  PONDER_CHECK(batch.page_tables.size() == batch.sequences.size(),
               fmt::format("{} page tables, {} sequences", batch.page_tables.size(),
                           batch.sequences.size()));
  for (const int32_t id : batch.ids) {
    PONDER_CHECK(id >= 0 && id < vocabulary,
                 fmt::format("token {} of a vocabulary of {}", id, vocabulary));
  }

  std::vector<bool> written(cache.pages * kernels::kPageTokens);
  int64_t next_row = 0;
  for (size_t s = 0; s < batch.sequences.size(); ++s) {
    const AttentionSequence& sequence = batch.sequences[s];
    const std::vector<int32_t>& pages = batch.page_tables[s];
    PONDER_CHECK(
        sequence.query_begin == next_row && sequence.query_count >= 0 &&
            sequence.query_count <= sequence.key_count,
        fmt::format("sequence {}: rows {} + {}, {} keys; the next row is {}", s,
                    sequence.query_begin, sequence.query_count, sequence.key_count, next_row));
    next_row += sequence.query_count;
    PONDER_CHECK(next_row <= batch.Rows(),
                 fmt::format("sequence {} ends at row {} of {}", s, next_row, rows));
    PONDER_CHECK(
        static_cast<int64_t>(pages.size()) >= kernels::KvPagesFor(sequence.key_count),
        fmt::format("sequence {}: {} keys in {} pages", s, sequence.key_count, pages.size()));
    for (const int32_t page : pages) {
      PONDER_CHECK(page >= 0 && page < cache.pages,
                   fmt::format("page {} of {}", page, cache.pages));
    }
    for (int64_t i = 0; i < sequence.query_count; ++i) {
      const int64_t row = sequence.query_begin + i;
      const int64_t position = sequence.key_count - sequence.query_count + i;
      const int64_t slot = pages[position / kernels::kPageTokens] * kernels::kPageTokens +
                           position % kernels::kPageTokens;
      PONDER_CHECK(batch.positions[row] == position && batch.slots[row] == slot,
                   fmt::format("row {}: position {}, slot {}; its sequence says {}, {}", row,
                               batch.positions[row], batch.slots[row], position, slot));
      PONDER_CHECK(!written[slot], fmt::format("two rows write slot {}", slot));
      written[slot] = true;
    }
  }
  for (const DecoderBatch::Follower& follower : batch.followers) {
    const auto s = static_cast<size_t>(follower.row);
    PONDER_CHECK(batch.drawn != nullptr && follower.source >= 0 && s < batch.sequences.size() &&
                     batch.sequences[s].query_begin == follower.row &&
                     batch.sequences[s].query_count == 1,
                 fmt::format("row {} follows draw {}", follower.row, follower.source));
  }
  PONDER_CHECK(next_row == batch.Rows(),
               fmt::format("{} rows, {} of them in sequences", rows, next_row));
}

}  // namespace

struct Decoder::Scratch {
  // ---- forward that keeps nothing ----
  DeviceBuffer arena;
  ForwardArrays arrays;
  int64_t arena_rows = 0;

  DeviceBuffer batch;       // DeviceBatch's arrays
  DeviceBuffer rope_table;  // [table_positions, E]
  int64_t table_positions = 0;
  DeviceBuffer gathered;   // [rows, padded D] act
  DeviceBuffer log_probs;  // LogProbs' arrays
  // A batch on its way to the device, in turns, and what to wait for before the next one.
  struct Staging {
    kernels::HostBuffer memory;
    int64_t mark = 0;
  };
  std::array<Staging, 2> staging;
  size_t turn = 0;
  Recordings recordings;

  absl::Status ReserveArena(kernels::Backend& backend, const ModelConfig& config, DType dtype,
                            int64_t rows);
  absl::Status ReserveRopeTable(kernels::Backend& backend, const ModelConfig& config,
                                const DecoderBatch& batch);
  // The memory that the next batch goes through: at least `bytes`, in nobody's use any more.
  absl::StatusOr<Staging*> NextStaging(kernels::Backend& backend, int64_t bytes);
  // With rows up to `rows` that belong to no sequence and write to `spare_slot`, and with sizes of
  // a recording where `is_recorded`. `group`: query heads of a key/value head.
  absl::StatusOr<DeviceBatch> Upload(kernels::Backend& backend, const DecoderBatch& batch,
                                     int64_t rows, int64_t spare_slot, int64_t group,
                                     bool is_recorded = false);
};

absl::Status Decoder::Scratch::ReserveArena(kernels::Backend& backend, const ModelConfig& config,
                                            DType dtype, int64_t rows) {
  rows = std::max<int64_t>(rows, 1);  // an empty batch has arrays too
  if (rows <= arena_rows) return absl::OkStatus();
  arena_rows = 0;
  const int64_t bytes = LayOutForward(config, dtype, rows, nullptr, nullptr);
  if (absl::Status status = Reserve(backend, bytes, &arena); !status.ok()) {
    return Annotate(
        status,
        fmt::format("scratch memory for {} packed tokens; smaller batches need less", rows));
  }
  LayOutForward(config, dtype, rows, arena.As<void>(), &arrays);
  arena_rows = rows;
  return absl::OkStatus();
}

absl::Status Decoder::Scratch::ReserveRopeTable(kernels::Backend& backend,
                                                const ModelConfig& config,
                                                const DecoderBatch& batch) {
  constexpr int64_t kFirstPositions = 1024;
  int64_t needed = 1;
  for (const int32_t position : batch.positions) needed = std::max<int64_t>(needed, position + 1);
  if (needed <= table_positions) return absl::OkStatus();
  if (needed > config.max_positions) {
    return InvalidArgument(
        "expected positions below max_position_embeddings = {}, found position {}; shorten the "
        "prompt or "
        "max_new_tokens",
        config.max_positions, needed - 1);
  }
  const int64_t positions =
      std::min(config.max_positions, std::max({needed, 2 * table_positions, kFirstPositions}));
  const std::vector<float> table = RopeTable(config, positions);
  const int64_t bytes = static_cast<int64_t>(table.size()) * 4;
  table_positions = 0;
  PONDER_RETURN_IF_ERROR(Reserve(backend, bytes, &rope_table));
  backend.CopyIn(rope_table.As<void>(), table.data(), bytes);
  table_positions = positions;
  return absl::OkStatus();
}

absl::StatusOr<Decoder::Scratch::Staging*> Decoder::Scratch::NextStaging(kernels::Backend& backend,
                                                                         int64_t bytes) {
  Staging& next = staging[turn++ % staging.size()];
  backend.Wait(next.mark);
  if (next.memory.Bytes() >= bytes) return &next;
  next.memory = kernels::HostBuffer();
  PONDER_ASSIGN_OR_RETURN(next.memory, kernels::HostBuffer::Create(backend, bytes + bytes / 2));
  return &next;
}

absl::StatusOr<DeviceBatch> Decoder::Scratch::Upload(kernels::Backend& backend,
                                                     const DecoderBatch& host, int64_t rows,
                                                     int64_t spare_slot, int64_t group,
                                                     bool is_recorded) {
  int64_t page_count = 0;
  int64_t max_queries = 0;
  for (size_t s = 0; s < host.sequences.size(); ++s) {
    page_count += static_cast<int64_t>(host.page_tables[s].size());
    max_queries = std::max(max_queries, host.sequences[s].query_count);
  }
  int64_t stop_count = 0;
  for (const DecoderBatch::Follower& follower : host.followers)
    stop_count += std::ssize(follower.stop_ids);
  const int64_t padding = rows - host.Rows();
  std::vector<AttentionSequence> sequences = host.sequences;
  std::vector<kernels::AttentionRun> runs;
  std::vector<kernels::AttentionSegment> segments;
  int64_t max_keys = 0;
  if (!backend.Info().is_host_memory) {  // a processor's kernels plan by themselves
    runs = FindRuns(sequences, host.page_tables, group);
    segments = kernels::ListSegments(sequences, group);
    for (const kernels::AttentionSegment& segment : segments)
      max_keys = std::max(max_keys, sequences[static_cast<size_t>(segment.sequence)].key_count);
  }
  if (is_recorded) {
    segments.resize(static_cast<size_t>(Recordings::PaddedRows(std::ssize(segments))));
    max_keys = Recordings::PaddedKeys(max_keys);
  }
  sequences.resize(sequences.size() + static_cast<size_t>(padding));  // no queries, no keys

  // In one piece, since each copy to a device takes as long as a small kernel. What a recorded
  // forward reads comes first, at places that `rows` and the number of segments decide.
  struct Part {
    int64_t at = 0, bytes = 0;
  };
  int64_t total = 0;
  const auto part = [&](int64_t count, int64_t size) {
    const Part placed = {total, count * size};
    total += (placed.bytes + 63) / 64 * 64;
    return placed;
  };
  const auto sequence_count = static_cast<int64_t>(sequences.size());
  const Part sequence_part = part(sequence_count, sizeof(AttentionSequence));
  const Part run_part = part(sequence_count, sizeof(kernels::AttentionRun));
  const Part segment_part = part(std::ssize(segments), sizeof(kernels::AttentionSegment));
  const Part id_part = part(rows, 4), position_part = part(rows, 4), slot_part = part(rows, 4);
  const int64_t followed = host.followers.empty() ? 0 : host.Rows();
  const Part page_part = part(page_count, 4), source_part = part(followed, 4);
  const Part begin_part = part(followed, 4), count_part = part(followed, 4);
  const Part stop_part = part(stop_count, 4);
  total += 64;  // an empty batch has arrays too
  PONDER_RETURN_IF_ERROR(Reserve(backend, total, &batch));
  PONDER_ASSIGN_OR_RETURN(Staging* const staged, NextStaging(backend, total));
  char* const from = staged->memory.As<char>();
  char* const to = batch.As<char>();
  const auto ints = [&](const Part& part) { return reinterpret_cast<int32_t*>(from + part.at); };
  const auto on_device = [&](const Part& part) { return reinterpret_cast<int32_t*>(to + part.at); };

  int64_t at = 0;
  for (size_t s = 0; s < host.page_tables.size(); ++s) {
    sequences[s].pages = on_device(page_part) + at;
    std::ranges::copy(host.page_tables[s], ints(page_part) + at);
    at += std::ssize(host.page_tables[s]);
  }
  std::memset(from + run_part.at, 0, run_part.bytes);
  const auto put = [&]<typename T>(const Part& part, const std::vector<T>& values) {
    std::ranges::copy(values, reinterpret_cast<T*>(from + part.at));
  };
  put(sequence_part, sequences);
  put(run_part, runs);
  put(segment_part, segments);
  const auto fill = [&](const Part& part, const std::vector<int32_t>& values, int64_t rest) {
    std::ranges::copy(values, ints(part));
    std::fill(ints(part) + values.size(), ints(part) + rows, static_cast<int32_t>(rest));
  };
  fill(id_part, host.ids, 0);
  fill(position_part, host.positions, 0);
  fill(slot_part, host.slots, spare_slot);
  std::fill_n(ints(source_part), followed, -1);
  int64_t stops = 0;
  for (const DecoderBatch::Follower& follower : host.followers) {
    const int64_t row = follower.row;
    ints(source_part)[row] = static_cast<int32_t>(follower.source);
    ints(begin_part)[row] = static_cast<int32_t>(stops);
    ints(count_part)[row] = static_cast<int32_t>(follower.stop_ids.size());
    std::ranges::copy(follower.stop_ids, ints(stop_part) + stops);
    stops += std::ssize(follower.stop_ids);
  }
  backend.CopyIn(to, from, total);
  staged->mark = backend.Mark();
  auto* const device_sequences = reinterpret_cast<AttentionSequence*>(to + sequence_part.at);
  if (followed > 0) {
    backend.Follow({.drawn = host.drawn,
                    .sources = on_device(source_part),
                    .stops = on_device(stop_part),
                    .stop_begins = on_device(begin_part),
                    .stop_counts = on_device(count_part),
                    .ids = on_device(id_part),
                    .slots = on_device(slot_part),
                    .sequences = device_sequences,
                    .spare_slot = static_cast<int32_t>(spare_slot),
                    .rows = followed});
  }
  const auto* const device_runs = reinterpret_cast<const kernels::AttentionRun*>(to + run_part.at);
  const auto* const device_segments =
      reinterpret_cast<const kernels::AttentionSegment*>(to + segment_part.at);
  return DeviceBatch{.ids = on_device(id_part),
                     .positions = on_device(position_part),
                     .slots = on_device(slot_part),
                     .sequences = device_sequences,
                     .rows = rows,
                     .sequence_count = sequence_count,
                     .max_queries = max_queries,
                     .runs = runs.empty() ? nullptr : device_runs,
                     .segments = device_segments,
                     .segment_count = std::ssize(segments),
                     .max_keys = max_keys};
}

Decoder::Decoder(kernels::Backend& backend, const Weights& weights)
    : backend_(&backend), weights_(&weights), scratch_(std::make_unique<Scratch>()) {}

Decoder::~Decoder() = default;

absl::Status Decoder::ReserveRows(int64_t rows) {
  if (backend_->Info().can_record) rows = std::max(rows, Recordings::PaddedRows(rows));
  const int64_t bytes =
      LayOutForward(weights_->Config(), weights_->Dtype(), rows, nullptr, nullptr);
  if (scratch_->arena.Bytes() < bytes) {
    scratch_->arena = DeviceBuffer();
    PONDER_ASSIGN_OR_RETURN(scratch_->arena, DeviceBuffer::Create(*backend_, bytes));
  }
  return scratch_->ReserveArena(*backend_, weights_->Config(), weights_->Dtype(), rows);
}

int64_t Decoder::Replays() const { return scratch_->recordings.Replays(); }

absl::StatusOr<const void*> Decoder::Forward(const DecoderBatch& batch, KvCache& cache) {
  const ModelConfig& config = weights_->Config();
  CheckBatch(batch, cache.Shape(), config.vocabulary);
  PONDER_RETURN_IF_ERROR(scratch_->ReserveRopeTable(*backend_, config, batch));
  const bool is_recorded = backend_->Info().can_record && batch.Rows() > 0 &&
                           std::ranges::all_of(batch.sequences, [](const AttentionSequence& s) {
                             return s.query_count == 1;
                           });
  const int64_t rows = is_recorded ? Recordings::PaddedRows(batch.Rows()) : batch.Rows();
  PONDER_RETURN_IF_ERROR(scratch_->ReserveArena(*backend_, config, weights_->Dtype(), rows));
  PONDER_ASSIGN_OR_RETURN(
      const DeviceBatch device,
      scratch_->Upload(*backend_, batch, rows, cache.SpareSlot(), Group(config), is_recorded));
  const auto forward = [&] {
    DecoderPass(*backend_, *weights_, cache, scratch_->rope_table.As<float>(), device,
                scratch_->arrays)
        .Forward();
  };
  if (is_recorded) {
    scratch_->recordings.Run(*backend_,
                             {.rows = rows,
                              .has_runs = device.runs != nullptr,
                              .segments = device.segment_count,
                              .max_keys = device.max_keys,
                              .weights = weights_->Vector(weights_->Layout().final_norm),
                              .cache = cache.Layer(0).keys,
                              .batch = scratch_->batch.As<void>(),
                              .scratch = scratch_->arena.As<void>(),
                              .scratch_rows = scratch_->arena_rows,
                              .rope_table = scratch_->rope_table.As<void>()},
                             forward);
  } else {
    forward();
  }
  return scratch_->arrays.hidden;
}

absl::StatusOr<const void*> Decoder::ForwardForTraining(const DecoderBatch& batch, KvCache& cache,
                                                        Activations& activations) {
  const ModelConfig& config = weights_->Config();
  CheckBatch(batch, cache.Shape(), config.vocabulary);
  PONDER_CHECK(activations.Dtype() == weights_->Dtype(), "activations of the weights' type");
  PONDER_CHECK(
      batch.Rows() <= activations.MaxRows() && PagesUpTo(batch) <= activations.MaxPages(),
      fmt::format("{} rows, pages below {}; activations hold {} rows, pages below {}", batch.Rows(),
                  PagesUpTo(batch), activations.MaxRows(), activations.MaxPages()));
  PONDER_RETURN_IF_ERROR(scratch_->ReserveRopeTable(*backend_, config, batch));
  PONDER_ASSIGN_OR_RETURN(const DeviceBatch device, scratch_->Upload(*backend_, batch, batch.Rows(),
                                                                     0, Group(weights_->Config())));
  DecoderPass(*backend_, *weights_, cache, scratch_->rope_table.As<float>(), device,
              activations.Forward())
      .Forward();
  activations.SetRows(batch.Rows());
  return activations.Forward().hidden;
}

absl::Status Decoder::Backward(const DecoderBatch& batch, const KvCache& cache,
                               const Activations& activations, const float* d_hidden,
                               float* gradients) {
  PONDER_CHECK(
      batch.Rows() == activations.Rows() && PagesUpTo(batch) <= activations.MaxPages(),
      fmt::format("{} rows, pages below {}; the training forward had {} rows, pages below {}",
                  batch.Rows(), PagesUpTo(batch), activations.Rows(), activations.MaxPages()));
  PONDER_RETURN_IF_ERROR(scratch_->ReserveRopeTable(*backend_, weights_->Config(), batch));
  PONDER_ASSIGN_OR_RETURN(const DeviceBatch device, scratch_->Upload(*backend_, batch, batch.Rows(),
                                                                     0, Group(weights_->Config())));
  DecoderPass pass(*backend_, *weights_, cache, scratch_->rope_table.As<float>(), device,
                   activations.Forward());
  pass.Backward(activations.Backward(), d_hidden, PagesUpTo(batch), activations.Kept(), gradients);
  return absl::OkStatus();
}

absl::StatusOr<const void*> Decoder::GatherRows(const void* hidden, std::span<const int64_t> rows) {
  const int64_t row_bytes =
      PaddedInputs(weights_->Config().width) * kernels::SizeOf(weights_->Dtype());
  const int64_t count = static_cast<int64_t>(rows.size());
  PONDER_RETURN_IF_ERROR(
      Reserve(*backend_, std::max<int64_t>(1, count) * row_bytes, &scratch_->gathered));
  char* const out = scratch_->gathered.As<char>();
  PONDER_CHECK(hidden != out, "rows are gathered over themselves");
  for (int64_t i = 0; i < count;) {
    int64_t run = 1;  // neighbours travel together
    while (i + run < count && rows[i + run] == rows[i] + run) ++run;
    PONDER_CHECK(rows[i] >= 0, fmt::format("row {}", rows[i]));
    backend_->Copy(out + i * row_bytes, static_cast<const char*>(hidden) + rows[i] * row_bytes,
                   run * row_bytes);
    i += run;
  }
  return out;
}

Decoder::Scored Decoder::LogProbs(const void* hidden_rows, std::span<const int32_t> targets,
                                  std::span<const float> inverse_temperatures) {
  const int64_t rows = static_cast<int64_t>(targets.size());
  PONDER_CHECK(
      inverse_temperatures.size() == targets.size(),
      fmt::format("{} targets, {} inverse temperatures", rows, inverse_temperatures.size()));
  Scored scored{.logprobs = std::vector<float>(rows),
                .entropies = std::vector<float>(rows),
                .logsumexps = std::vector<float>(rows)};
  if (rows == 0) return scored;
  const int64_t stride = (rows + 15) / 16 * 16;  // floats, so that each array starts on 64 bytes
  const absl::Status reserved = Reserve(*backend_, 5 * stride * 4, &scratch_->log_probs);
  PONDER_CHECK(reserved.ok(), std::string(reserved.message()));
  float* const base = scratch_->log_probs.As<float>();
  backend_->CopyIn(base, targets.data(), rows * 4);
  backend_->CopyIn(base + stride, inverse_temperatures.data(), rows * 4);
  backend_->LogProb({.hidden = hidden_rows,
                     .w = weights_->Head(),
                     .targets = reinterpret_cast<const int32_t*>(base),
                     .inverse_temperatures = base + stride,
                     .logprobs = base + 2 * stride,
                     .entropies = base + 3 * stride,
                     .logsumexps = base + 4 * stride,
                     .rows = rows});
  std::vector<float> all(static_cast<size_t>(2 * stride + rows));  // one copy: each waits
  backend_->CopyOut(all.data(), base + 2 * stride, std::ssize(all) * 4);
  std::copy_n(all.begin(), rows, scored.logprobs.begin());
  std::copy_n(all.begin() + stride, rows, scored.entropies.begin());
  std::copy_n(all.begin() + 2 * stride, rows, scored.logsumexps.begin());
  return scored;
}

}  // namespace ponder
