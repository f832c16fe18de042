#pragma once

#include <string>
#include <string_view>

#include "base/records.h"
#include "ponder/v1/verifier.pb.h"

namespace ponder {

// Proto strings must be UTF-8, which a model's text need not be: each byte that is not becomes
// U+FFFD.
std::string ToUtf8(std::string_view text);

void ToProto(const Task& task, v1::Task* message);
Task FromProto(const v1::Task& message);

void ToProto(const VerifyItem& item, v1::VerifyItem* message);
VerifyItem FromProto(const v1::VerifyItem& message);

void ToProto(const Verdict& verdict, v1::Verdict* message);
// What cannot be a verdict becomes INTERNAL with the reason, see CheckedVerdict.
Verdict FromProto(const v1::Verdict& message);

}  // namespace ponder
