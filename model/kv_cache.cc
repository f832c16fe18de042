#include <algorithm>

#include "base/check.h"
#include "model/decoder.h"

namespace ponder {

absl::StatusOr<std::unique_ptr<KvCache>> KvCache::Create(kernels::Backend& backend,
                                                         const ModelConfig& config,
                                                         kernels::DType dtype, int64_t pages,
                                                         kernels::DeviceSpan place) {
  PONDER_CHECK(pages > 0, fmt::format("pages = {}", pages));
  auto cache = std::make_unique<KvCache>();
  cache->shape_ = {
      .dtype = dtype, .kv_heads = config.kv_heads, .head_width = config.head_width, .pages = pages};
  cache->layers_ = config.layers;
  const bool spare = backend.Info().can_record;
  cache->pages_of_layer_ = pages + (spare ? 1 : 0);
  const int64_t bytes = Bytes(config, dtype, pages, spare);
  auto memory = kernels::DeviceBuffer::CreateIn(backend, bytes, place);
  if (!memory.ok()) {
    return Annotate(memory.status(),
                    fmt::format("key/value cache of {} pages ({} bytes in {} layers)", pages, bytes,
                                config.layers));
  }
  cache->memory_ = std::move(memory).value();
  return cache;
}

int64_t KvCache::Bytes(const ModelConfig& config, kernels::DType dtype, int64_t pages, bool spare) {
  const kernels::KvShape shape = {
      .dtype = dtype, .kv_heads = config.kv_heads, .head_width = config.head_width, .pages = pages};
  return 2 * config.layers * (pages + (spare ? 1 : 0)) * kernels::KvPageBytes(shape);
}

kernels::KvLayer KvCache::Layer(int64_t layer) const {
  PONDER_CHECK(layer >= 0 && layer < layers_, fmt::format("layer = {}", layer));
  const int64_t bytes = pages_of_layer_ * kernels::KvPageBytes(shape_);
  char* const keys = memory_.As<char>() + 2 * layer * bytes;
  return {.keys = keys, .values = keys + bytes};
}

void DecoderBatch::Add(std::span<const int32_t> new_ids, int64_t first_position,
                       std::span<const int32_t> pages) {
  const int64_t count = static_cast<int64_t>(new_ids.size());
  const int64_t end = first_position + count;
  const int64_t page_count = kernels::KvPagesFor(end);
  PONDER_CHECK(first_position >= 0 && static_cast<int64_t>(pages.size()) >= page_count,
               fmt::format("positions {} ... {} need {} pages, {} given", first_position, end - 1,
                           page_count, pages.size()));
  const int64_t query_begin = Rows();
  ids.insert(ids.end(), new_ids.begin(), new_ids.end());
  for (int64_t position = first_position; position < end; ++position) {
    positions.push_back(static_cast<int32_t>(position));
    slots.push_back(
        static_cast<int32_t>(pages[position / kernels::kPageTokens] * kernels::kPageTokens +
                             position % kernels::kPageTokens));
  }
  page_tables.emplace_back(pages.begin(), pages.begin() + page_count);
  // The tables' own memory stays where it is when the outer vector grows.
  sequences.push_back({.query_begin = query_begin,
                       .query_count = count,
                       .key_count = end,
                       .pages = page_tables.back().data()});
}

}  // namespace ponder
