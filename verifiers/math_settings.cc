#include "verifiers/math_settings.h"

#include <charconv>
#include <nlohmann/json.hpp>

namespace ponder {
namespace {

using nlohmann::json;

absl::Status SetDecimalPlaces(std::string_view text, math::CompareOptions& compare) {
  if (text == "exact") {
    compare.decimal_places = -1;
    return absl::OkStatus();
  }
  int64_t places = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), places);
  if (error != std::errc() || end != text.data() + text.size() || places < 0 ||
      places > math::kMostDecimalPlaces) {
    return InvalidArgument("decimal_places: expected \"exact\" or 0 to {}, found \"{}\"",
                           math::kMostDecimalPlaces, text);
  }
  compare.decimal_places = places;
  return absl::OkStatus();
}

absl::Status SetPercent(std::string_view text, math::CompareOptions& compare) {
  if (text != "either" && text != "exact")
    return InvalidArgument("percent: expected \"either\" or \"exact\", found \"{}\"", text);
  compare.percent_either_way = text == "either";
  return absl::OkStatus();
}

absl::Status SetUnits(std::string_view text, math::CompareOptions& compare) {
  if (text != "ignore" && text != "match")
    return InvalidArgument("units: expected \"ignore\" or \"match\", found \"{}\"", text);
  compare.units_must_match = text == "match";
  return absl::OkStatus();
}

std::string Text(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

absl::StatusOr<MathOptions> ToMathOptions(const VerifierSettings& settings) {
  MathOptions options{.anywhere = settings.extraction == "anywhere"};
  options.compare.lenient = options.anywhere;
  PONDER_ASSIGN_OR_RETURN(options.anchors, ParseAnswerAnchors(settings.anchors));
  const std::string fallback = options.anywhere ? "6" : "exact";
  PONDER_RETURN_IF_ERROR(SetDecimalPlaces(
      settings.decimal_places.empty() ? fallback : settings.decimal_places, options.compare));
  PONDER_RETURN_IF_ERROR(SetPercent(settings.percent, options.compare));
  PONDER_RETURN_IF_ERROR(SetUnits(settings.units, options.compare));
  return options;
}

absl::StatusOr<MathOptions> WithTaskOptions(MathOptions options, std::string_view data) {
  if (data.empty()) return options;
  const json value = json::parse(data, nullptr, /*allow_exceptions=*/false);
  if (!value.is_object()) return InvalidArgument("the task's data is no JSON object");
  if (const auto found = value.find("decimal_places"); found != value.end())
    PONDER_RETURN_IF_ERROR(SetDecimalPlaces(Text(*found), options.compare));
  if (const auto found = value.find("percent"); found != value.end())
    PONDER_RETURN_IF_ERROR(SetPercent(Text(*found), options.compare));
  if (const auto found = value.find("units"); found != value.end())
    PONDER_RETURN_IF_ERROR(SetUnits(Text(*found), options.compare));
  return options;
}

}  // namespace ponder
