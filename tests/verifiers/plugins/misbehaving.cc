// A plugin that does what its item's completion says; as which plugin it presents itself is a
// matter of how it was compiled.
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string_view>

#include "ponder_verifier.h"

namespace {

void Judge(void*, const PonderItem* item, PonderVerdict* verdict) {
  const std::string_view wish(item->completion.data, item->completion.size);
  verdict->status = PONDER_WRONG;
  if (wish == "throw") throw std::runtime_error("thrown by the plugin");
  if (wish == "no status") verdict->status = PONDER_UNSPECIFIED;
  if (wish == "unknown status") verdict->status = 99;
  if (wish == "score") verdict->score = 7;
  if (wish == "many parts") verdict->part_count = PONDER_MAX_PARTS + 1;
  if (wish == "negative parts") verdict->part_count = -1;
  if (wish == "part") {
    verdict->part_count = 1;
    verdict->parts[0] = {"broken", std::nan("")};
  }
  if (wish == "unended") std::memset(verdict->reason, 'x', sizeof(verdict->reason));
}

#ifdef REFUSES
void* Create(char* error) {
  std::strcpy(error, "no word list");
  return nullptr;
}
#endif

}  // namespace

const PonderVerifierPlugin* ponder_verifier_plugin(void) {
  static const PonderVerifierPlugin plugin = {
#ifdef OLD
      .abi_version = PONDER_VERIFIER_ABI_VERSION + 1,
#else
      .abi_version = PONDER_VERIFIER_ABI_VERSION,
#endif
      .thread_safe = 0,
      .name = "misbehaving",
      .version = "1",
#ifdef REFUSES
      .create = Create,
#else
      .create = nullptr,
#endif
      .judge = Judge,
      .destroy = nullptr};
  return &plugin;
}
