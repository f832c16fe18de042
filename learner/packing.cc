#include "learner/packing.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "kernels/kv_cache.h"

namespace ponder {
namespace {

using kernels::kPageTokens;
using kernels::KvPagesFor;

// A completion as the packer sees it, whichever record it came from.
struct Answer {
  std::span<const int32_t> ids;
  std::span<const uint8_t> sampled_mask;  // empty: every token is a target
  std::span<const float> behaviour;       // empty: 0
  std::span<const VersionSpan> versions;  // empty: version 0
  float advantage = 0;
  float weight = 0;        // of each of its target tokens
  int64_t completion = 0;  // TokenOrigin

  bool IsTarget(int64_t token) const {
    return sampled_mask.empty() || sampled_mask[static_cast<size_t>(token)] != 0;
  }
  // Tokens up to and with the last target: what has to be computed.
  int64_t UsedTokens() const {
    int64_t used = static_cast<int64_t>(ids.size());
    while (used > 0 && !IsTarget(used - 1)) --used;
    return used;
  }
  int64_t TargetTokens() const {
    int64_t count = 0;
    for (int64_t token = 0; token < static_cast<int64_t>(ids.size()); ++token)
      count += IsTarget(token);
    return count;
  }
};

// A prompt with the answers that share it.
struct Prompt {
  std::span<const int32_t> ids;
  float inverse_temperature = 1;
  int64_t group = 0;  // TokenOrigin
  std::string name;   // for messages: "task 'x'"
  std::vector<Answer> answers;

  // Whole pages that all answers share. One token at least stays behind: its row has the answer's
  // first token as target.
  int64_t SharedTokens() const {
    return (static_cast<int64_t>(ids.size()) - 1) / kPageTokens * kPageTokens;
  }
  int64_t SharedPages() const { return SharedTokens() / kPageTokens; }
  // The answer's own rows: rest of the prompt, then every used token but the last, which predicts
  // nothing.
  int64_t OwnRows(const Answer& answer) const {
    return static_cast<int64_t>(ids.size()) - SharedTokens() + answer.UsedTokens() - 1;
  }
  int64_t AllRows() const {
    if (answers.empty()) return 0;
    int64_t rows = SharedTokens();
    for (const Answer& answer : answers) rows += OwnRows(answer);
    return rows;
  }
};

absl::Status CheckIds(std::span<const int32_t> ids, int64_t vocabulary, std::string_view where) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocabulary)
      return InvalidArgument("{}: token {} has id {}, expected one in [0, {})", where, i, ids[i],
                             vocabulary);
  }
  return absl::OkStatus();
}

absl::Status CheckPrompt(const Prompt& prompt, const PackingLimits& limits) {
  if (prompt.ids.empty())
    return InvalidArgument("{}: the prompt has no tokens, expected at least one", prompt.name);
  PONDER_RETURN_IF_ERROR(CheckIds(prompt.ids, limits.vocabulary, prompt.name + ", prompt"));
  for (const Answer& answer : prompt.answers) {
    const std::string where = fmt::format("{}, completion {}", prompt.name, answer.completion);
    PONDER_RETURN_IF_ERROR(CheckIds(answer.ids, limits.vocabulary, where));
    for (int64_t token = 0; token < static_cast<int64_t>(answer.ids.size()); ++token) {
      const int32_t id = answer.ids[static_cast<size_t>(token)];
      if (answer.IsTarget(token) && id >= limits.valid_vocabulary)
        return InvalidArgument(
            "{}: token {} has id {}, which no model can sample: the tokenizer has {} ids", where,
            token, id, limits.valid_vocabulary);
    }
    const int64_t rows = prompt.SharedTokens() + prompt.OwnRows(answer);
    if (rows > limits.max_positions)
      return InvalidArgument("{}: prompt and completion take {} positions, the model has {}", where,
                             rows, limits.max_positions);
    if (rows > limits.max_rows || KvPagesFor(rows) > limits.max_pages)
      return InvalidArgument(
          "{}: prompt and completion take {} rows, a micro-batch has room for {}; raise "
          "micro_batch_tokens "
          "or shorten the completions",
          where, rows, limits.max_rows);
  }
  return absl::OkStatus();
}

int64_t VersionAt(std::span<const VersionSpan> versions, int64_t token) {
  int64_t version = 0;
  for (const VersionSpan& span : versions) {
    if (span.begin > token) break;
    version = span.version;
  }
  return version;
}

class Packer {
 public:
  Packer(const PackingLimits& limits, Packing& packing) : limits_(limits), packing_(packing) {}

  void Add(const Prompt& prompt) {
    const int64_t shared_rows = prompt.SharedTokens();
    const int64_t shared_pages = prompt.SharedPages();
    int64_t rows = shared_rows, pages = shared_pages;
    for (const Answer& answer : prompt.answers) {
      rows += prompt.OwnRows(answer);
      pages += KvPagesFor(prompt.OwnRows(answer));
    }
    // Rows are what costs, not micro-batches: a group that this one cannot hold whole starts the
    // next one, since each part of a group repeats its prefix.
    if (!Fits(rows, pages)) Start();
    size_t begin = 0;
    while (begin < prompt.answers.size()) {
      size_t end = begin;
      rows = shared_rows;
      pages = shared_pages;
      while (end < prompt.answers.size()) {
        const int64_t own = prompt.OwnRows(prompt.answers[end]);
        if (!Fits(rows + own, pages + KvPagesFor(own))) break;
        rows += own;
        pages += KvPagesFor(own);
        ++end;
      }
      if (end ==
          begin) {  // no room beside what is here; CheckPrompt has made sure that it fits alone
        Start();
        continue;
      }
      Place(prompt, std::span(prompt.answers).subspan(begin, end - begin));
      begin = end;
    }
  }

 private:
  bool Fits(int64_t rows, int64_t pages) const {
    if (packing_.micro_batches.empty()) return false;
    const MicroBatch& last = packing_.micro_batches.back();
    return last.batch.Rows() + rows <= limits_.max_rows && last.pages + pages <= limits_.max_pages;
  }

  void Start() {
    if (packing_.micro_batches.empty() || packing_.micro_batches.back().batch.Rows() > 0)
      packing_.micro_batches.emplace_back();
  }

  // `count` pages that nobody has, behind `shared`.
  std::vector<int32_t> TakePages(MicroBatch& target, std::vector<int32_t> shared,
                                 int64_t count) const {
    const size_t first = shared.size();
    shared.resize(first + static_cast<size_t>(count));
    std::iota(shared.begin() + static_cast<int64_t>(first), shared.end(),
              static_cast<int32_t>(target.pages));
    target.pages += count;
    return shared;
  }

  void Place(const Prompt& prompt, std::span<const Answer> answers) {
    MicroBatch& target = packing_.micro_batches.back();
    // A lone answer is one sequence with its whole prompt: the same numbers, one sequence less.
    const int64_t shared = answers.size() == 1 ? 0 : prompt.SharedTokens();
    std::vector<int32_t> shared_pages;
    if (shared > 0) {
      shared_pages = TakePages(target, {}, shared / kPageTokens);
      target.batch.Add(prompt.ids.first(static_cast<size_t>(shared)), 0, shared_pages);
    }
    const std::span<const int32_t> rest = prompt.ids.subspan(static_cast<size_t>(shared));
    for (const Answer& answer : answers) {
      const int64_t used = answer.UsedTokens();
      std::vector<int32_t> ids(rest.begin(), rest.end());
      ids.insert(ids.end(), answer.ids.begin(), answer.ids.begin() + used - 1);
      const int64_t first_target_row = target.batch.Rows() + static_cast<int64_t>(rest.size()) - 1;
      target.batch.Add(
          ids, shared,
          TakePages(target, shared_pages, KvPagesFor(static_cast<int64_t>(ids.size()))));
      for (int64_t token = 0; token < used; ++token) {
        if (answer.IsTarget(token))
          AddTarget(target, prompt, answer, token, first_target_row + token);
      }
    }
  }

  void AddTarget(MicroBatch& target, const Prompt& prompt, const Answer& answer, int64_t token,
                 int64_t row) {
    const size_t at = static_cast<size_t>(token);
    target.rows.push_back(row);
    target.targets.push_back(answer.ids[at]);
    target.inverse_temperatures.push_back(prompt.inverse_temperature);
    target.behaviour.push_back(answer.behaviour.empty() ? 0.0f : answer.behaviour[at]);
    target.advantages.push_back(answer.advantage);
    target.weights.push_back(answer.weight);
    target.versions.push_back(VersionAt(answer.versions, token));
    target.is_one_version.push_back(VersionAt(answer.versions, 0) == target.versions.back());
    target.origins.push_back({prompt.group, answer.completion, token});
    ++packing_.target_tokens;
  }

  const PackingLimits& limits_;
  Packing& packing_;
};

// The rank of each prompt.
std::vector<int64_t> Deal(const std::vector<Prompt>& prompts, int64_t ranks) {
  std::vector<size_t> order(prompts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, std::greater<>(), [&](size_t i) { return prompts[i].AllRows(); });
  std::vector<int64_t> rows(static_cast<size_t>(ranks), 0), dealt(prompts.size());
  for (const size_t i : order) {
    const auto least = std::ranges::min_element(rows);
    *least += prompts[i].AllRows();
    dealt[i] = least - rows.begin();
  }
  return dealt;
}

absl::Status PackPrompts(const std::vector<Prompt>& prompts, const PackingLimits& limits,
                         PackingShare share, Packing& packing) {
  PONDER_CHECK(limits.max_rows > 0 && limits.max_pages > 0 &&
               limits.valid_vocabulary <= limits.vocabulary);
  PONDER_CHECK(share.rank >= 0 && share.rank < share.ranks);
  for (const Prompt& prompt : prompts) PONDER_RETURN_IF_ERROR(CheckPrompt(prompt, limits));
  Packer packer(limits, packing);
  const std::vector<int64_t> ranks = Deal(prompts, share.ranks);
  for (size_t i = 0; i < prompts.size(); ++i) {
    for (const Answer& answer : prompts[i].answers)
      packing.all_target_tokens += answer.TargetTokens();
    if (ranks[i] == share.rank && !prompts[i].answers.empty()) packer.Add(prompts[i]);
  }
  for (const MicroBatch& micro_batch : packing.micro_batches)
    packing.rows += micro_batch.batch.Rows();
  return absl::OkStatus();
}

absl::Status CheckLengths(const ScoredGroup& scored, const std::string& name) {
  const Group& group = scored.group;
  if (scored.advantages.size() != group.completions.size())
    return InvalidArgument("{}: {} advantages for {} completions, expected one each", name,
                           scored.advantages.size(), group.completions.size());
  for (size_t i = 0; i < group.completions.size(); ++i) {
    const Completion& completion = group.completions[i];
    if (completion.sampled_mask.size() != completion.token_ids.size() ||
        completion.logprobs.size() != completion.token_ids.size())
      return InvalidArgument(
          "{}, completion {}: {} tokens, but {} mask entries and {} log-probs; expected one each",
          name, i, completion.token_ids.size(), completion.sampled_mask.size(),
          completion.logprobs.size());
  }
  return absl::OkStatus();
}

// The weight of each of a completion's sampled tokens; see PolicyLossSettings::aggregation.
double TokenWeight(const std::string& aggregation, const Packing& totals, int64_t max_new_tokens,
                   int64_t sampled) {
  if (aggregation == "sequence_mean")
    return 1.0 / static_cast<double>(totals.completions) / static_cast<double>(sampled);
  if (aggregation == "token_mean") return 1.0 / static_cast<double>(totals.sampled_tokens);
  return 1.0 / (static_cast<double>(totals.completions) * static_cast<double>(max_new_tokens));
}

}  // namespace

int64_t MicroBatchPages(int64_t micro_batch_tokens) { return 2 * KvPagesFor(micro_batch_tokens); }

absl::StatusOr<Packing> PackGroups(std::span<const ScoredGroup> groups,
                                   const std::string& aggregation, int64_t max_new_tokens,
                                   const PackingLimits& limits, PackingShare share) {
  if (aggregation != "sequence_mean" && aggregation != "token_mean" && aggregation != "constant")
    return InvalidArgument(
        "unknown aggregation '{}', expected sequence_mean, token_mean or constant", aggregation);
  PONDER_CHECK(max_new_tokens > 0);

  Packing packing;
  std::vector<Prompt> prompts;
  for (size_t g = 0; g < groups.size(); ++g) {
    const Group& group = groups[g].group;
    Prompt prompt{.ids = group.prompt_ids,
                  .inverse_temperature = group.temperature > 0 ? 1.0f / group.temperature : 1.0f,
                  .group = static_cast<int64_t>(g),
                  .name = fmt::format("task '{}'", group.task.id)};
    PONDER_RETURN_IF_ERROR(CheckLengths(groups[g], prompt.name));
    const bool has_signal =
        std::ranges::any_of(groups[g].advantages, [](float value) { return value != 0; });
    for (size_t c = 0; c < group.completions.size(); ++c) {
      const Completion& completion = group.completions[c];
      Answer answer{.ids = completion.token_ids,
                    .sampled_mask = completion.sampled_mask,
                    .behaviour = completion.logprobs,
                    .versions = completion.versions,
                    .advantage = groups[g].advantages[c],
                    .completion = static_cast<int64_t>(c)};
      const int64_t sampled = answer.TargetTokens();
      ++packing.completions;
      packing.sampled_tokens += sampled;
      if (!has_signal) {
        ++packing.left_out_completions;
      } else if (sampled > 0) {
        prompt.answers.push_back(answer);
      }
    }
    if (!prompt.answers.empty()) prompts.push_back(std::move(prompt));
  }
  for (Prompt& prompt : prompts) {
    for (Answer& answer : prompt.answers)
      answer.weight = static_cast<float>(
          TokenWeight(aggregation, packing, max_new_tokens, answer.TargetTokens()));
  }
  PONDER_RETURN_IF_ERROR(PackPrompts(prompts, limits, share, packing));
  return packing;
}

absl::StatusOr<Packing> PackExamples(std::span<const SftExample> examples,
                                     const PackingLimits& limits, PackingShare share) {
  Packing packing;
  std::vector<Prompt> prompts;
  for (size_t i = 0; i < examples.size(); ++i) {
    ++packing.completions;
    packing.sampled_tokens += static_cast<int64_t>(examples[i].completion_ids.size());
    Prompt prompt{.ids = examples[i].prompt_ids,
                  .group = static_cast<int64_t>(i),
                  .name = fmt::format("example {}", i)};
    if (!examples[i].completion_ids.empty())
      prompt.answers.push_back({.ids = examples[i].completion_ids});
    prompts.push_back(std::move(prompt));
  }
  for (Prompt& prompt : prompts) {
    for (Answer& answer : prompt.answers)
      answer.weight = static_cast<float>(1.0 / static_cast<double>(packing.sampled_tokens));
  }
  PONDER_RETURN_IF_ERROR(PackPrompts(prompts, limits, share, packing));
  return packing;
}

}  // namespace ponder
