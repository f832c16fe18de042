#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "verifiers/code/code_verifier.h"
#include "verifiers/code/file_descriptor.h"
#include "verifiers/code/wire.h"

namespace ponder {

// The service's end of a candidate's channel. Never waits; what comes in is checked. Not
// thread-safe.
class CandidateChannel {
 public:
  static absl::StatusOr<CandidateChannel> Make(const CodeLimits& limits, std::string_view source);

  // The candidate's end, to be handed over and then closed here.
  int TheirEnd() const { return theirs_.Get(); }
  void CloseTheirEnd() { theirs_.Close(); }

  int Descriptor() const { return ours_.Get(); }
  bool HasToWrite() const { return !out_.empty(); }
  // Whether the candidate's end is open still, or unread bytes are left.
  bool Open() const { return open_; }
  void Send(std::string_view operation);
  // Writes and reads what is possible. An error means that what came is no message of candidate.py,
  // or over a limit: by the candidate's own doing.
  absl::Status Exchange();
  absl::StatusOr<std::optional<Answer>> Next() { return reader_.Next(); }

 private:
  CandidateChannel(FileDescriptor ours, FileDescriptor theirs, const Nonce& nonce,
                   const WireLimits& limits, std::string out)
      : ours_(std::move(ours)),
        theirs_(std::move(theirs)),
        reader_(nonce, limits),
        out_(std::move(out)) {}

  FileDescriptor ours_, theirs_;
  AnswerReader reader_;
  std::string out_;
  bool open_ = true;
};

}  // namespace ponder
