#include "rollout/service/convert.h"

namespace ponder {

void ToProto(const Completion& completion, v1::Completion& message) {
  message.Clear();
  message.set_sample_index(completion.sample_index);
  message.mutable_token_ids()->Add(completion.token_ids.begin(), completion.token_ids.end());
  message.mutable_sampled_mask()->assign(completion.sampled_mask.begin(),
                                         completion.sampled_mask.end());
  message.mutable_logprobs()->Add(completion.logprobs.begin(), completion.logprobs.end());
  message.mutable_entropies()->Add(completion.entropies.begin(), completion.entropies.end());
  for (const VersionSpan& span : completion.versions) {
    v1::VersionSpan* added = message.add_versions();
    added->set_begin(span.begin);
    added->set_version(span.version);
  }
  message.set_finish(static_cast<v1::FinishReason>(completion.finish));
  message.set_text(completion.text);
}

Completion FromProto(const v1::Completion& message) {
  Completion completion;
  completion.sample_index = message.sample_index();
  completion.token_ids.assign(message.token_ids().begin(), message.token_ids().end());
  completion.sampled_mask.assign(message.sampled_mask().begin(), message.sampled_mask().end());
  completion.logprobs.assign(message.logprobs().begin(), message.logprobs().end());
  completion.entropies.assign(message.entropies().begin(), message.entropies().end());
  for (const v1::VersionSpan& span : message.versions()) {
    completion.versions.push_back({.begin = span.begin(), .version = span.version()});
  }
  completion.finish = v1::FinishReason_IsValid(message.finish())
                          ? static_cast<FinishReason>(message.finish())
                          : FinishReason::kUnspecified;
  completion.text = message.text();
  return completion;
}

void ToProto(const SamplingParams& sampling, v1::SamplingParams& message) {
  message.Clear();
  message.set_temperature(sampling.temperature);
  message.set_top_p(sampling.top_p);
  message.set_top_k(sampling.top_k);
  message.set_max_new_tokens(sampling.max_new_tokens);
  message.mutable_stop_ids()->Add(sampling.stop_ids.begin(), sampling.stop_ids.end());
  for (const std::string& text : sampling.stop_strings) message.add_stop_strings(text);
}

SamplingParams FromProto(const v1::SamplingParams& message) {
  return {.temperature = message.temperature(),
          .top_p = message.top_p(),
          .top_k = message.top_k(),
          .max_new_tokens = message.max_new_tokens(),
          .stop_ids = {message.stop_ids().begin(), message.stop_ids().end()},
          .stop_strings = {message.stop_strings().begin(), message.stop_strings().end()}};
}

grpc::Status ToGrpc(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

absl::Status FromGrpc(const grpc::Status& status) {
  return {static_cast<absl::StatusCode>(status.error_code()), status.error_message()};
}

}  // namespace ponder
