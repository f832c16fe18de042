#include "verifiers/code/candidate_channel.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace ponder {
namespace {

constexpr int64_t kAnswersTogether = 4;  // of the largest size
constexpr int kReadsAtOnce = 16;         // so that a flood leaves time for the clocks

}  // namespace

absl::StatusOr<CandidateChannel> CandidateChannel::Make(const CodeLimits& limits,
                                                        std::string_view source) {
  PONDER_ASSIGN_OR_RETURN(const Nonce nonce, MakeNonce());
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return Internal("cannot make a socket pair: {}", std::strerror(errno));
  }
  const int64_t answer_bytes = limits.output_kib * 1024;
  std::string out(nonce.data(), nonce.size());
  out += LengthPrefix(source.size());
  out += source;
  return CandidateChannel(
      FileDescriptor(ends[0]), FileDescriptor(ends[1]), nonce,
      {.answer_bytes = answer_bytes, .total_bytes = kAnswersTogether * answer_bytes},
      std::move(out));
}

void CandidateChannel::Send(std::string_view operation) {
  out_ += LengthPrefix(operation.size());
  out_ += operation;
}

absl::Status CandidateChannel::Exchange() {
  while (!out_.empty()) {
    const ssize_t sent = send(ours_.Get(), out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (sent < 0) {
      out_.clear();  // nobody reads any more; what was written before may still be read
      break;
    }
    out_.erase(0, static_cast<size_t>(sent));
  }
  char bytes[1 << 16];
  for (int i = 0; i < kReadsAtOnce && open_; ++i) {
    const ssize_t got = recv(ours_.Get(), bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (got <= 0) {
      open_ = false;
      break;
    }
    PONDER_RETURN_IF_ERROR(reader_.Append({bytes, static_cast<size_t>(got)}));
    if (got < static_cast<ssize_t>(sizeof(bytes))) break;
  }
  return absl::OkStatus();
}

}  // namespace ponder
