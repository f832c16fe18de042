#pragma once

#include <absl/time/time.h>
#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "verifiers/code/code_verifier.h"
#include "verifiers/code/file_descriptor.h"

namespace ponder {

// Small limits: attacks that run into them end soon.
CodeVerifierOptions SmallLimits();

// Why this machine allows no sandbox; empty where it does.
std::string SandboxFault();

// An item of kind "code" whose completion is the code in a block.
VerifyItem CodeItem(const std::string& data, const std::string& code,
                    const std::string& label = "python");
// f(x) = x + 1, with its right answer.
VerifyItem HonestItem();

Verdict JudgeCode(Verifier& verifier, const VerifyItem& item);

// Runs `body` in a process of its own, as user and group 54321 where `ordinary_user`. What it
// returns are failures, in words; a process that dies is one.
std::vector<std::string> RunInProcess(bool ordinary_user,
                                      const std::function<std::vector<std::string>()>& body);

// All processes below this one, or below `root`, with their parents.
std::map<pid_t, pid_t> Descendants(pid_t root = 0);

// Waits until all of these, opened by OpenProcess, have ended; the number of those that have not.
size_t AwaitEnds(const std::vector<FileDescriptor>& processes, absl::Duration limit);
FileDescriptor OpenProcess(pid_t process);

// Bytes of memory that a process holds; 0 where it is gone.
int64_t ResidentBytes(pid_t process);

}  // namespace ponder
