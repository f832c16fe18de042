#include "app/run_settings.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace ponder {
namespace {

using nlohmann::json;

// A list of {"behind": "step-000010", "config": the whole TOML}; "behind" is "" for the start.
constexpr char kSettingsKey[] = "settings";

struct Note {
  CheckpointName behind;
  std::string toml;
};

absl::StatusOr<std::vector<Note>> ReadNotes(RunStore& store) {
  std::vector<Note> notes;
  PONDER_ASSIGN_OR_RETURN(const std::optional<std::string> text, store.GetInfo(kSettingsKey));
  if (!text.has_value()) return notes;
  const json list = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  bool whole = list.is_array();
  for (size_t i = 0; whole && i < list.size(); ++i) {
    const json& item = list[i];
    whole = item.is_object() && item.value("behind", json()).is_string() &&
            item.value("config", json()).is_string();
    if (!whole) break;
    const std::string behind = item["behind"].get<std::string>();
    const std::optional<CheckpointName> name =
        behind.empty() ? CheckpointName{} : ParseCheckpointName(behind);
    whole = name.has_value();
    if (whole) notes.push_back({*name, item["config"].get<std::string>()});
  }
  if (!whole) return DataLoss("the store's info \"{}\" is no list of settings", kSettingsKey);
  return notes;
}

std::pair<std::string, int64_t> Place(const CheckpointName& name) {
  return {name.phase, name.step};  // "" before "sft" before "step"
}

}  // namespace

absl::Status NoteSettings(RunStore& store, const std::string& config_path,
                          const CheckpointName& behind, const RunConfig& config) {
  PONDER_ASSIGN_OR_RETURN(std::vector<Note> notes, ReadNotes(store));
  const size_t before = notes.size();
  std::erase_if(notes, [&](const Note& note) { return Place(note.behind) >= Place(behind); });
  PONDER_ASSIGN_OR_RETURN(const RunConfig begun, LoadConfig(config_path));
  const std::string last = notes.empty() ? DumpConfig(begun) : notes.back().toml;
  std::string toml = DumpConfig(config);
  const bool is_news = toml != last;
  if (!is_news && notes.size() == before) return absl::OkStatus();
  if (is_news) notes.push_back({behind, std::move(toml)});
  json list = json::array();
  for (const Note& note : notes) {
    list.push_back({{"behind", note.behind.phase.empty() ? "" : note.behind.ToString()},
                    {"config", note.toml}});
  }
  return store.SetInfo(kSettingsKey, list.dump(-1, ' ', false, json::error_handler_t::replace));
}

absl::StatusOr<std::vector<RunSettings>> ReadSettings(RunStore& store,
                                                      const std::string& config_path) {
  PONDER_ASSIGN_OR_RETURN(RunConfig begun, LoadConfig(config_path));
  std::vector<RunSettings> settings = {{.behind = {}, .config = std::move(begun)}};
  PONDER_ASSIGN_OR_RETURN(const std::vector<Note> notes, ReadNotes(store));
  for (const Note& note : notes) {
    PONDER_ASSIGN_OR_RETURN(RunConfig config,
                            ParseConfig(note.toml, fmt::format("settings of {}", config_path)));
    settings.push_back({note.behind, std::move(config)});
  }
  return settings;
}

}  // namespace ponder
