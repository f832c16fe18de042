#include "verifiers/math/wire.h"

#include <cstring>

namespace ponder::math {
namespace {

template <typename T>
void Put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void PutText(std::string& out, std::string_view text) {
  Put(out, static_cast<uint32_t>(text.size()));
  out.append(text);
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <typename T>
  T Get() {
    T value{};
    if (bytes_.size() < sizeof(value)) {
      failed_ = true;
      return value;
    }
    std::memcpy(&value, bytes_.data(), sizeof(value));
    bytes_.remove_prefix(sizeof(value));
    return value;
  }

  std::string GetText() {
    const auto size = Get<uint32_t>();
    if (failed_ || bytes_.size() < size) {
      failed_ = true;
      return "";
    }
    std::string text(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return text;
  }

  bool Done() const { return !failed_ && bytes_.empty(); }

 private:
  std::string_view bytes_;
  bool failed_ = false;
};

}  // namespace

std::string EncodeRequest(std::string_view gold, std::string_view answer,
                          const CompareOptions& options) {
  std::string out;
  Put(out, options.decimal_places);
  Put(out, static_cast<uint8_t>(options.percent_either_way));
  Put(out, static_cast<uint8_t>(options.units_must_match));
  Put(out, static_cast<uint8_t>(options.lenient));
  PutText(out, gold);
  PutText(out, answer);
  return out;
}

std::optional<CheckRequest> DecodeRequest(std::string_view bytes) {
  Reader reader(bytes);
  CheckRequest request;
  request.options.decimal_places = reader.Get<int64_t>();
  request.options.percent_either_way = reader.Get<uint8_t>() != 0;
  request.options.units_must_match = reader.Get<uint8_t>() != 0;
  request.options.lenient = reader.Get<uint8_t>() != 0;
  request.gold = reader.GetText();
  request.answer = reader.GetText();
  if (!reader.Done() || request.options.decimal_places < -1 ||
      request.options.decimal_places > kMostDecimalPlaces) {
    return std::nullopt;
  }
  return request;
}

std::string EncodeReply(const AnswerCheck& check) {
  std::string out;
  Put(out, static_cast<uint8_t>(check.outcome));
  PutText(out, check.reason);
  return out;
}

std::optional<AnswerCheck> DecodeReply(std::string_view bytes) {
  Reader reader(bytes);
  const auto outcome = reader.Get<uint8_t>();
  AnswerCheck check{static_cast<AnswerOutcome>(outcome), reader.GetText()};
  if (!reader.Done() || outcome > static_cast<uint8_t>(AnswerOutcome::kUndecided))
    return std::nullopt;
  return check;
}

}  // namespace ponder::math
