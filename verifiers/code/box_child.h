#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ponder {

// What the new process of a box does before it becomes the program: everything is laid out here
// beforehand, because between clone and exec of a process with threads nothing may be allocated.
struct BoxPlan {
  enum class Kind { kFolder, kMount, kDevice, kLink, kFile };
  struct Step {
    Kind kind;
    std::string path;        // in the box, relative: "usr/lib"
    std::string source;      // kMount, kDevice: path outside; kLink: target; kFile: content
    bool is_folder = false;  // kMount: what is mounted
  };
  std::vector<Step> steps;
  std::vector<char*> command;      // null-terminated, as exec takes them
  std::vector<char*> environment;  // likewise
  uint64_t outer_namespaces = 0;   // of the process that builds the root
  uint64_t inner_namespaces = 0;   // of the program
  int control = -1;                // becomes descriptor 3
  int wait_outer = -1;             // a byte arrives when the outer's users are mapped
  int wait_inner = -1;             // ... and when the program may start
  int report = -1;                 // takes BoxReport; closed by a successful exec
};

struct BoxReport {
  int32_t inner_pid = 0;  // > 0: the program's process was made; else `error` of `step`
  int32_t error = 0;
  char step[120] = {};
};

// Runs in the first process, made with `outer_namespaces`: builds the root, makes the program's
// process (a child of this one's parent) and ends.
[[noreturn]] void RunBoxChild(const BoxPlan& plan);

}  // namespace ponder
