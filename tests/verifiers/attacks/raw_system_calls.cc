#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <initializer_list>
int main() {
  int reached = 0;
  for (const long call : {SYS_ptrace, SYS_mount, SYS_unshare, SYS_bpf, SYS_socket, SYS_keyctl,
                          SYS_perf_event_open, SYS_setuid}) {
    if (syscall(call, 0, 0, 0, 0, 0) >= 0 || (errno != EPERM && errno != ENOSYS)) ++reached;
  }
  std::printf("%d\n", reached + 7);
}
