# System calls that reach past the sandbox, by number; each is to fail, whatever its arguments.
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
CALLS = {"ptrace": 101, "mount": 165, "umount2": 166, "unshare": 272, "setns": 308, "bpf": 321, "io_uring_setup": 425,
         "io_uring_enter": 426, "io_uring_register": 427, "add_key": 248, "request_key": 249, "keyctl": 250,
         "perf_event_open": 298, "userfaultfd": 323, "process_vm_readv": 310, "process_vm_writev": 311, "pivot_root": 155,
         "chroot": 161, "init_module": 175, "finit_module": 313, "kexec_load": 246, "reboot": 169, "swapon": 167,
         "open_by_handle_at": 304, "name_to_handle_at": 303, "memfd_create": 319, "memfd_secret": 447, "shmget": 29,
         "semget": 64, "msgget": 68, "mq_open": 240, "socket": 41, "connect": 42, "bind": 49, "listen": 50, "accept": 43,
         "clone3": 435, "personality": 135, "acct": 163, "quotactl": 179, "syslog": 103, "setuid": 105, "setgid": 106,
         "setresuid": 117, "setgroups": 116, "capset": 126, "iopl": 172, "ioperm": 173, "fanotify_init": 300,
         "inotify_init": 253, "pidfd_open": 434, "pidfd_getfd": 438, "pidfd_send_signal": 424, "kcmp": 312, "move_pages": 279,
         "mbind": 237, "sethostname": 170, "settimeofday": 164, "clock_settime": 227, "adjtimex": 159, "fsopen": 430,
         "fsmount": 432, "move_mount": 429, "open_tree": 428, "mount_setattr": 442, "landlock_create_ruleset": 444,
         "seccomp": 317, "vmsplice": 278, "splice": 275, "tee": 276, "mlockall": 151, "sched_setscheduler": 144,
         "ioprio_set": 251, "vhangup": 153, "lookup_dcookie": 212, "process_madvise": 440, "rt_tgsigqueueinfo": 297}
def f(x):
    loot = []
    for name, number in CALLS.items():
        if libc.syscall(number, 0, 0, 0, 0, 0, 0) >= 0 or ctypes.get_errno() not in (1, 38):
            loot.append((name, ctypes.get_errno()))
    return loot
