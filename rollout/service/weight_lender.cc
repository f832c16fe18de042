#include "rollout/service/weight_lender.h"

#include <absl/time/time.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <vector>

#include "rollout/service/unix_socket.h"

namespace ponder {
namespace {

struct Loan {
  int socket = -1;
  absl::Time end;
  std::shared_ptr<const WeightSnapshot> snapshot;  // null: it has not said yet what it wants
};

// Whether it goes on after what came from its socket.
bool GoesOn(Loan& loan, const std::function<std::shared_ptr<const WeightSnapshot>()>& current) {
  int64_t wanted = 0;
  const ssize_t size = recv(loan.socket, &wanted, sizeof(wanted), MSG_DONTWAIT);
  if (size < 0) return errno == EAGAIN || errno == EINTR;
  if (size != sizeof(wanted) || loan.snapshot != nullptr) return false;
  loan.snapshot = current();
  const bool there = loan.snapshot != nullptr && loan.snapshot->Version() == wanted &&
                     loan.snapshot->Segment().Descriptor() >= 0;
  return SendWithDescriptor(loan.socket, there ? wanted : SegmentHeader::kNoVersion,
                            there ? loan.snapshot->Segment().Descriptor() : -1) &&
         there;
}

}  // namespace

absl::StatusOr<std::unique_ptr<WeightLender>> WeightLender::Start(
    std::function<std::shared_ptr<const WeightSnapshot>()> current,
    const WeightLenderOptions& options) {
  uint64_t random[2] = {};
  if (getrandom(random, sizeof(random), 0) != sizeof(random)) {
    return Unavailable("no random bytes for a socket's name: {}", std::strerror(errno));
  }
  std::string name = fmt::format("ponder-weights-{:016x}{:016x}", random[0], random[1]);
  PONDER_ASSIGN_OR_RETURN(const int listener, ListenAbstract(name));
  const int stop = eventfd(0, EFD_CLOEXEC);
  if (stop < 0) {
    close(listener);
    return Unavailable("no eventfd: {}", std::strerror(errno));
  }
  return std::unique_ptr<WeightLender>(
      new WeightLender(std::move(name), listener, stop, std::move(current), options));
}

WeightLender::WeightLender(std::string name, int listener, int stop,
                           std::function<std::shared_ptr<const WeightSnapshot>()> current,
                           const WeightLenderOptions& options)
    : name_(std::move(name)),
      listener_(listener),
      stop_(stop),
      current_(std::move(current)),
      options_(options),
      thread_([this] { Serve(); }) {}

WeightLender::~WeightLender() {
  const uint64_t one = 1;
  while (write(stop_, &one, sizeof(one)) < 0 && errno == EINTR) {
  }
  thread_.join();
  close(listener_);
  close(stop_);
}

void WeightLender::Serve() {
  std::vector<Loan> loans;
  for (;;) {
    std::vector<pollfd> waiting = {{.fd = stop_, .events = POLLIN, .revents = 0},
                                   {.fd = listener_, .events = POLLIN, .revents = 0}};
    for (const Loan& loan : loans) {
      waiting.push_back({.fd = loan.socket, .events = POLLIN, .revents = 0});
    }
    poll(waiting.data(), waiting.size(),
         loans.empty() ? -1 : static_cast<int>(absl::ToInt64Milliseconds(options_.look_every)));
    const absl::Time now = options_.clock->Now();
    std::vector<Loan> kept;
    for (size_t i = 0; i < loans.size(); ++i) {
      const bool goes_on =
          now < loans[i].end && (waiting[2 + i].revents == 0 || GoesOn(loans[i], current_));
      if (goes_on && waiting[0].revents == 0) {
        kept.push_back(std::move(loans[i]));
      } else {
        close(loans[i].socket);
      }
    }
    loans = std::move(kept);
    if (waiting[0].revents != 0) return;
    if (waiting[1].revents == 0) continue;
    const int socket = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (socket < 0) continue;
    if (IsOfThisUser(socket) && std::ssize(loans) < options_.most_loans) {
      loans.push_back({.socket = socket, .end = now + options_.loan_limit, .snapshot = nullptr});
    } else {
      close(socket);
    }
  }
}

}  // namespace ponder
