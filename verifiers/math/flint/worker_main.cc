// ponder-math-worker MEMORY_BYTES: holds answers against golds with FLINT, Arb and Calcium, in a
// process that its parent (algebra_worker.h) limits and may kill. Requests come on standard input,
// replies go to standard output; it ends when the input closes.
#include <flint/flint.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "verifiers/math/flint/flint_algebra.h"
#include "verifiers/math/wire.h"

namespace ponder::math {
namespace {

// Ends a process whose parent has gone in the middle of a check that runs away.
constexpr unsigned kMostSeconds = 5;

// Sanitizers reserve terabytes of addresses. GCC and clang tell of them in different ways.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

bool ReadAll(char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t count = read(STDIN_FILENO, bytes, size);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes += count;
    size -= static_cast<size_t>(count);
  }
  return true;
}

bool WriteAll(const std::string& bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t count = write(STDOUT_FILENO, bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    done += static_cast<size_t>(count);
  }
  return true;
}

int Serve() {
  const std::unique_ptr<Algebra> algebra = CreateFlintAlgebra();
  for (;;) {
    uint32_t size = 0;
    if (!ReadAll(reinterpret_cast<char*>(&size), sizeof(size))) return 0;
    if (size > kMostMessageBytes) return 1;
    std::string message(size, '\0');
    if (!ReadAll(message.data(), size)) return 1;
    const std::optional<CheckRequest> request = DecodeRequest(message);
    alarm(kMostSeconds);
    if (!request) return 1;
    std::string reply =
        EncodeReply(CheckAnswer(request->gold, request->answer, request->options, *algebra));
    const auto reply_size = static_cast<uint32_t>(reply.size());
    reply.insert(0, reinterpret_cast<const char*>(&reply_size), sizeof(reply_size));
    alarm(0);
    if (!WriteAll(reply)) return 1;
    flint_cleanup();  // caches of constants and memory of large numbers
  }
}

}  // namespace
}  // namespace ponder::math

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto limit = static_cast<rlim_t>(std::strtoull(argv[1], nullptr, 10));
  const rlimit memory = {.rlim_cur = limit, .rlim_max = limit};
  if (!ponder::math::kSanitized) setrlimit(RLIMIT_AS, &memory);
  const rlimit no_core = {.rlim_cur = 0, .rlim_max = 0};
  setrlimit(RLIMIT_CORE, &no_core);
  signal(SIGPIPE, SIG_IGN);
  return ponder::math::Serve();
}
