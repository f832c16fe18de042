#include "verifiers/plugin/plugin_verifier.h"

#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>
#include <dlfcn.h>

#include <cstring>
#include <exception>
#include <utility>

#include "verifiers/plugin/ponder_verifier.h"
#include "verifiers/verdict_check.h"

namespace ponder {
namespace {

PonderText View(const std::string& text) { return {text.data(), text.size()}; }

// Up to the zero, or all of it where the plugin wrote none.
template <size_t kBytes>
std::string Text(const char (&bytes)[kBytes]) {
  return std::string(bytes, strnlen(bytes, kBytes));
}

VerdictStatus ToStatus(int32_t status) {
  using enum VerdictStatus;
  switch (status) {
    case PONDER_CORRECT:
      return kCorrect;
    case PONDER_WRONG:
      return kWrong;
    case PONDER_NO_ANSWER:
      return kNoAnswer;
    case PONDER_UNPARSEABLE:
      return kUnparseable;
    case PONDER_INVALID_GOLD:
      return kInvalidGold;
    case PONDER_TIMEOUT:
      return kTimeout;
    case PONDER_INTERNAL:
      return kInternal;
    default:
      return kUnspecified;
  }
}

class PluginVerifier : public Verifier {
 public:
  PluginVerifier(const PonderVerifierPlugin& plugin, void* self) : plugin_(plugin), self_(self) {}
  // The library stays loaded: its threads or its end-of-process code may still need it.
  ~PluginVerifier() override {
    if (plugin_.destroy != nullptr) plugin_.destroy(self_);
  }

  VerifierDescription Describe() const override {
    return {.name = plugin_.name, .version = plugin_.version};
  }

  absl::StatusOr<std::vector<Verdict>> Verify(std::span<const VerifyItem> batch,
                                              absl::Time deadline) override {
    std::vector<Verdict> verdicts;
    verdicts.reserve(batch.size());
    for (const VerifyItem& item : batch) {
      const absl::Time start = absl::Now();
      if (start >= deadline) {
        verdicts.push_back(InternalVerdict("the deadline had passed before this item's turn"));
        continue;
      }
      verdicts.push_back(JudgeSafely(item));
      verdicts.back().elapsed_us = absl::ToInt64Microseconds(absl::Now() - start);
    }
    return verdicts;
  }

 private:
  Verdict JudgeSafely(const VerifyItem& item) {
    try {
      if (plugin_.thread_safe != 0) return Judge(item);
      absl::MutexLock lock(&mutex_);
      return Judge(item);
    } catch (const std::exception& error) {
      return InternalVerdict(fmt::format("the plugin {} threw: {}", plugin_.name, error.what()));
    } catch (...) {
      return InternalVerdict(fmt::format("the plugin {} threw", plugin_.name));
    }
  }

  Verdict Judge(const VerifyItem& item) const {
    const Task& task = item.task;
    const PonderItem given{.id = View(task.id),
                           .kind = View(task.kind),
                           .source = View(task.source),
                           .question = View(task.question),
                           .gold = View(task.gold),
                           .data = View(task.data),
                           .difficulty = task.difficulty,
                           .completion = View(item.completion)};
    PonderVerdict said = {};
    plugin_.judge(self_, &given, &said);
    if (said.part_count < 0 || said.part_count > PONDER_MAX_PARTS) {
      return InternalVerdict(fmt::format("the plugin {} gave {} parts, not 0 to {}", plugin_.name,
                                         said.part_count, PONDER_MAX_PARTS));
    }
    Verdict verdict{.status = ToStatus(said.status),
                    .score = said.score,
                    .extracted = Text(said.extracted),
                    .reason = Text(said.reason)};
    for (int32_t i = 0; i < said.part_count; ++i) {
      verdict.parts[Text(said.parts[i].name)] = said.parts[i].value;
    }
    return CheckedVerdict(std::move(verdict));
  }

  const PonderVerifierPlugin& plugin_;
  void* const self_;
  absl::Mutex mutex_;  // held in calls of plugins that are not thread-safe
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> LoadPluginVerifier(const std::string& path) {
  // Without a slash the loader would search the system's folders in place of this one.
  const std::string file = path.find('/') == std::string::npos ? "./" + path : path;
  void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return NotFound("the plugin cannot be loaded: {}", dlerror());
  using Entry = const PonderVerifierPlugin* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(library, "ponder_verifier_plugin"));
  const PonderVerifierPlugin* const plugin = entry == nullptr ? nullptr : entry();
  if (plugin == nullptr) {
    return InvalidArgument(
        "{} is no verifier plugin: it must define ponder_verifier_plugin, see "
        "verifiers/plugin/ponder_verifier.h",
        path);
  }
  if (plugin->abi_version != PONDER_VERIFIER_ABI_VERSION) {
    return InvalidArgument(
        "{} was built for version {} of the plugin interface, this program has version {}; build "
        "it again with this program's ponder_verifier.h",
        path, plugin->abi_version, PONDER_VERIFIER_ABI_VERSION);
  }
  if (plugin->name == nullptr || plugin->version == nullptr || plugin->judge == nullptr) {
    return InvalidArgument("{}: a plugin must have name, version and judge", path);
  }
  void* self = nullptr;
  if (plugin->create != nullptr) {
    char error[PONDER_TEXT_BYTES] = {};
    self = plugin->create(error);
    if (self == nullptr) {
      return FailedPrecondition("the plugin {} cannot work: {}", plugin->name, Text(error));
    }
  }
  return std::make_unique<PluginVerifier>(*plugin, self);
}

}  // namespace ponder
