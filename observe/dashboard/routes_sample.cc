// One sample, token by token.
#include <charconv>
#include <utility>

#include "observe/dashboard/routes.h"
#include "observe/dashboard/run_json.h"
#include "observe/dashboard/token_texts.h"

namespace ponder {
namespace {

using nlohmann::json;

json TokensOf(const StoredCompletion& stored, const std::vector<std::string>& vocabulary) {
  const Completion& completion = stored.completion;
  json texts = json::array();  // none where the store has no vocabulary
  if (!vocabulary.empty()) texts = TokenTexts(completion.token_ids, vocabulary);
  return {{"texts", std::move(texts)},          {"ids", completion.token_ids},
          {"logprobs", completion.logprobs},    {"entropies", completion.entropies},
          {"sampled", completion.sampled_mask}, {"clips", stored.clips}};
}

}  // namespace

RouteAnswer SampleRoute(const RunRequest& request, std::string_view sample) {
  PONDER_RETURN_IF_ERROR(request.query.Check());
  int64_t id = 0;
  const char* const end = sample.data() + sample.size();
  const auto [last, error] = std::from_chars(sample.data(), end, id);
  if (error != std::errc() || last != end || id < 1) {
    return InvalidArgument("expected the number of a sample, found \"{}\"", sample);
  }
  PONDER_ASSIGN_OR_RETURN(const StoredCompletion stored, request.reader.ReadCompletion(id));
  PONDER_ASSIGN_OR_RETURN(const GroupSummary group, request.reader.GroupOf(id));
  PONDER_ASSIGN_OR_RETURN(const std::shared_ptr<const std::vector<std::string>> vocabulary,
                          request.vocabularies.Get(request.run, request.reader));
  json versions = json::array();
  for (const VersionSpan& span : stored.completion.versions) {
    versions.push_back({{"begin", span.begin}, {"version", span.version}});
  }
  json task = ToJson(stored.task);
  task["data"] = stored.task.data;
  const Verdict& verdict = stored.verdict;
  return JsonResponse({{"sample", id},
                       {"phase", stored.phase},
                       {"step", stored.step},
                       {"task", std::move(task)},
                       {"prompt", stored.prompt},
                       {"prompt_tokens", stored.prompt_ids.size()},
                       // More digits than a number of JavaScript holds.
                       {"seed", std::to_string(stored.seed)},
                       {"temperature", stored.temperature},
                       {"index", stored.completion.sample_index},
                       {"finish", ToString(stored.completion.finish)},
                       {"text", stored.completion.text},
                       {"verdict",
                        {{"status", ToString(verdict.status)},
                         {"score", verdict.score},
                         {"parts", verdict.parts},
                         {"extracted", verdict.extracted},
                         {"reason", verdict.reason},
                         {"elapsed_us", verdict.elapsed_us}}},
                       {"reward", {{"total", stored.reward.total}, {"parts", stored.reward.parts}}},
                       {"advantage", stored.advantage},
                       {"versions", std::move(versions)},
                       {"tokens", TokensOf(stored, *vocabulary)},
                       {"group", ToJson(group)}});
}

}  // namespace ponder
