#pragma once

#include <absl/time/time.h>

#include <cstdint>
#include <string>

#include "base/status.h"

namespace ponder {

// Unix sockets of messages in the abstract namespace, and descriptors sent over them. A name has no
// permissions, so both ends look who the other one is.

// A listening socket that does not block.
absl::StatusOr<int> ListenAbstract(const std::string& name);
// A connected one, each of whose calls waits up to `timeout`. UNAVAILABLE where nobody of this user
// listens.
absl::StatusOr<int> ConnectAbstract(const std::string& name, absl::Duration timeout);

// Whether the process at the other end runs as this one's user.
bool IsOfThisUser(int socket);

// A number, with a descriptor unless it is -1. False where it cannot be sent at once.
bool SendWithDescriptor(int socket, int64_t number, int descriptor);

struct NumberAndDescriptor {
  int64_t number = 0;
  int descriptor = -1;  // the caller's to close; -1: none came
};
absl::StatusOr<NumberAndDescriptor> ReceiveWithDescriptor(int socket);

}  // namespace ponder
