#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/records.h"
#include "observe/http_message.h"
#include "observe/run_reader.h"

namespace ponder {

// The records of a run as the pages get them. Numbers that JSON does not have become null, bytes
// that are not UTF-8 U+FFFD.
nlohmann::json ToJson(const Task& task);  // without data and solution
nlohmann::json ToJson(const SampleSummary& sample);
nlohmann::json ToJson(const GroupSummary& group);
nlohmann::json ToJson(const std::vector<GroupSummary>& groups);
nlohmann::json ToJson(const MetricTable& table);  // {"steps":[...],"metrics":{name:[...]}}

HttpResponse JsonResponse(const nlohmann::json& value);

// For a file to be saved; `name` may hold any characters.
void MakeDownload(std::string_view name, HttpResponse& response);

// How many of a group's samples are right.
int64_t RightSamples(const GroupSummary& group);

}  // namespace ponder
