#include "rollout/service/unix_socket.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace ponder {
namespace {

constexpr int kBacklog = 64;

struct Address {
  sockaddr_un address = {};
  socklen_t size = 0;
};

// A name that begins with a zero byte lies in no folder.
absl::StatusOr<Address> AbstractAddress(const std::string& name) {
  Address result;
  if (name.empty() || name.size() + 1 > sizeof(result.address.sun_path)) {
    return InvalidArgument("expected a socket's name of 1 to {} bytes, found {}",
                           sizeof(result.address.sun_path) - 1, name.size());
  }
  result.address.sun_family = AF_UNIX;
  std::memcpy(result.address.sun_path + 1, name.data(), name.size());
  result.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return result;
}

absl::Status Failed(int socket, const char* what, const std::string& name) {
  absl::Status status = Unavailable("{} @{}: {}", what, name, std::strerror(errno));
  if (socket >= 0) close(socket);
  return status;
}

}  // namespace

absl::StatusOr<int> ListenAbstract(const std::string& name) {
  PONDER_ASSIGN_OR_RETURN(const Address address, AbstractAddress(name));
  const int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener < 0 ||
      bind(listener, reinterpret_cast<const sockaddr*>(&address.address), address.size) != 0 ||
      listen(listener, kBacklog) != 0) {
    return Failed(listener, "cannot listen on", name);
  }
  return listener;
}

absl::StatusOr<int> ConnectAbstract(const std::string& name, absl::Duration timeout) {
  PONDER_ASSIGN_OR_RETURN(const Address address, AbstractAddress(name));
  const int connected = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  const timeval limit = absl::ToTimeval(timeout);
  if (connected < 0 || setsockopt(connected, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0 ||
      setsockopt(connected, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0 ||
      connect(connected, reinterpret_cast<const sockaddr*>(&address.address), address.size) != 0) {
    return Failed(connected, "cannot connect to", name);
  }
  if (!IsOfThisUser(connected)) {
    close(connected);
    return Unavailable("@{} is another user's", name);
  }
  return connected;
}

bool IsOfThisUser(int socket) {
  ucred other = {};
  socklen_t size = sizeof(other);
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &other, &size) == 0 && other.uid == geteuid();
}

bool SendWithDescriptor(int socket, int64_t number, int descriptor) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  iovec data = {.iov_base = &number, .iov_len = sizeof(number)};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (descriptor >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(part), &descriptor, sizeof(int));
  }
  return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(number);
}

absl::StatusOr<NumberAndDescriptor> ReceiveWithDescriptor(int socket) {
  NumberAndDescriptor result;
  // Room for one: further ones are closed by the system.
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  iovec data = {.iov_base = &result.number, .iov_len = sizeof(result.number)};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t size = 0;
  do {
    size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size < 0) return Unavailable("no answer on a Unix socket: {}", std::strerror(errno));
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS &&
        part->cmsg_len == CMSG_LEN(sizeof(int))) {
      std::memcpy(&result.descriptor, CMSG_DATA(part), sizeof(int));
    }
  }
  if (size == sizeof(result.number)) return result;
  if (result.descriptor >= 0) close(result.descriptor);
  return Unavailable("expected an answer of {} bytes on a Unix socket, found {}",
                     sizeof(result.number), size);
}

}  // namespace ponder
