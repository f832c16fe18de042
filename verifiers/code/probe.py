"""Tries, as a candidate, what a candidate must not be able to do. Prints one JSON object: name to whether it was refused."""

import ctypes
import json
import mmap
import os
import resource
import socket
import threading

MOST_THREADS = 1000  # a higher limit is not tried

refused = {}


def attempt(name, action):
    try:
        action()
        refused[name] = False
    except (OSError, MemoryError, ValueError, RuntimeError, OverflowError):
        refused[name] = True


def call(name, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)


def more_threads_than_allowed():
    stop = threading.Event()
    threads = []
    try:
        limit = resource.getrlimit(resource.RLIMIT_NPROC)[0] if has_limit("NPROC") else 0
        if limit > MOST_THREADS:
            raise OSError
        for _ in range(limit + 1):
            threads.append(threading.Thread(target=stop.wait))
            threads[-1].start()
    finally:
        stop.set()


def has_limit(name):
    return resource.getrlimit(getattr(resource, "RLIMIT_" + name))[0] != resource.RLIM_INFINITY


def more_memory_than_allowed():
    mmap.mmap(-1, resource.getrlimit(resource.RLIMIT_AS)[0] if has_limit("AS") else 1)


attempt("memory", more_memory_than_allowed)
attempt("processes", more_threads_than_allowed)
attempt("sockets", lambda: socket.socket(socket.AF_INET))
attempt("mounts", lambda: call("mount", b"tmpfs", b"/tmp", b"tmpfs", 0, None))
attempt("namespaces", lambda: call("unshare", 0x10000000))
attempt("other users", lambda: os.setuid(0 if os.getuid() else 1))
attempt("writing to the root", lambda: os.mkdir("/new"))
attempt("writing to the library", lambda: open(os.__file__, "a"))
attempt("files of this machine", lambda: os.listdir("/etc"))
attempt("processes of this machine", lambda: os.listdir("/proc"))
print(json.dumps(refused), flush=True)
os._exit(0)
