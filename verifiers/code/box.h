#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "verifiers/code/cgroup.h"

namespace ponder {

struct BoxOptions {
  std::vector<std::string> mounts;                         // folders and files of this machine,
                                                           // at the same path, read-only
  std::vector<std::pair<std::string, std::string>> links;  // path, target
  std::vector<std::pair<std::string, std::string>> files;  // path, content
  std::vector<std::string> command;                        // the first is the program's path
  std::vector<std::string> environment;                    // "NAME=value"
  int socket_type = 0;                                     // of the control socket
  int64_t slot = 0;                                        // chooses the user ids
  Cgroup* cgroup = nullptr;                                // may be null; outlives the box
};

// A program that this machine is hidden from: its own user, mount, process, network, ipc, host-name
// and control-group namespaces; a root of its own that holds what the options name, read-only, and
// an empty /tmp to mount on; no /proc, no network device, not even loopback. It holds descriptor 3,
// the other end of `Control()`, and is user 0 of its namespace: it may mount and make namespaces
// within the box, nothing outside. Everything in it dies with it, and it with the object.
//
// Raw system calls rather than bubblewrap: the processes in the box go on making namespaces for
// each candidate, which needs two user ids and the box's own capabilities, and nothing has to be
// installed. The user namespace is entered last where this process is privileged: the mounts then
// belong to the namespace above and cannot be undone from within; and it works in a chroot.
class Box {
 public:
  // FAILED_PRECONDITION where the machine does not allow such namespaces, with the step that
  // failed.
  static absl::StatusOr<std::unique_ptr<Box>> Start(const BoxOptions& options);
  ~Box();  // kills, reaps, closes
  Box(const Box&) = delete;
  Box& operator=(const Box&) = delete;

  int Control() const { return control_; }
  pid_t Pid() const { return pid_; }
  // Whether user 1 of the box is another user of the machine than anybody else.
  bool HasOwnUsers() const { return own_users_; }

 private:
  Box(int control, pid_t pid, bool own_users)
      : control_(control), pid_(pid), own_users_(own_users) {}

  const int control_;
  const pid_t pid_;
  const bool own_users_;
};

}  // namespace ponder
