"""Process 1 of a box: a warm interpreter that forks a candidate for each job.

It runs trusted code only. Each candidate gets process ids, mounts and a /tmp of its own, loses every privilege, and is killed
with all it started when its first process ends. The control socket keeps message boundaries:
    service -> zygote: {"job", ...} as JSON with descriptors: start a job;  b"K": kill it;  b"C": its processor time
    zygote -> service: b"ready"; b"C" + u64 nanoseconds; b"E" + i32 wait status + u64 processor ns: it ended
"""

import bisect, cmath, collections, contextlib, copy, datetime, decimal, enum, fractions, functools, heapq  # noqa: warmth
import io, itertools, json, math, operator, random, re, statistics, string, typing  # noqa: for programs that import them
import ctypes
import fcntl
import gc
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

import candidate
import privileges
from privileges import check, libc

CONTROL = 3
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWPID = 0x00020000, 0x08000000, 0x20000000
MS_NOSUID, MS_NODEV = 2, 4
PR_CAPBSET_DROP = 24
SYS_execveat, AT_EMPTY_PATH = 322, 0x1000
COMPILER_TEXT_BYTES = 4096


class Zygote:
    def __init__(self):
        self.control = socket.socket(fileno=CONTROL)
        self.uid = privileges.user_for_others()
        self.filters = {name: privileges.load_filter(f"/ponder/{name}.bpf") for name in ("processes", "threads")}
        self.self_descriptor = os.pidfd_open(os.getpid())
        self.null = os.open("/dev/null", os.O_RDWR)
        self.child = None
        self.child_descriptor = None
        # Nothing that is executed from here on can have a capability; those of this process stay.
        for capability in range(64):
            if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
                break
        gc.collect()
        gc.freeze()

    def serve(self):
        self.control.send(b"ready")
        poll = select.poll()
        poll.register(CONTROL, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self.child_descriptor:
                    poll.unregister(descriptor)
                    self.report_end()
                elif descriptor == CONTROL and not self.take_message(poll):
                    return

    def take_message(self, poll):
        message, descriptors, _, _ = socket.recv_fds(self.control, 1 << 16, 8)
        if not message:
            return False
        if message == b"K":
            if self.child is not None:
                os.kill(self.child, signal.SIGKILL)
        elif message == b"C":
            self.control.send(b"C" + self.processor_ns().to_bytes(8, "little"))
        else:
            self.start(json.loads(message), descriptors)
            poll.register(self.child_descriptor, select.POLLIN)
        for descriptor in descriptors:
            os.close(descriptor)
        return True

    def processor_ns(self):
        if self.child is None:
            return 0
        return time.clock_gettime_ns((~self.child << 3) | 2)  # the process's clock, see clock_getcpuclockid

    def report_end(self):
        os.close(self.child_descriptor)
        _, status, usage = os.wait4(self.child, 0)
        self.child = self.child_descriptor = None
        processor_ns = int((usage.ru_utime + usage.ru_stime) * 1e9)
        self.control.send(b"E" + status.to_bytes(4, "little", signed=True) + processor_ns.to_bytes(8, "little"))

    def start(self, job, descriptors):
        # The next fork is process 1 of new process ids; back to our own first, they can only be left from there.
        check(libc.setns(self.self_descriptor, CLONE_NEWPID), "setns")
        check(libc.unshare(CLONE_NEWPID), "unshare")
        pid = os.fork()
        if pid == 0:
            try:
                self.become_candidate(job, descriptors)
            finally:
                os._exit(120)
        self.child = pid
        self.child_descriptor = os.pidfd_open(pid)

    def become_candidate(self, job, descriptors):
        limits = job["limits"]
        check(libc.unshare(CLONE_NEWNS | CLONE_NEWIPC), "unshare")
        options = f"size={limits['disk_bytes']},nr_inodes={limits['files']},mode=700,uid={self.uid},gid={self.uid}"
        check(libc.mount(b"tmpfs", b"/tmp", b"tmpfs", MS_NOSUID | MS_NODEV, options.encode()), "mount")
        os.chdir("/tmp")
        os.setsid()
        # 3: the channel; 0, 1 and 2: given or nothing; 4: a file; the rest is closed.
        given = dict(zip(job["as"], descriptors))
        spare = [fcntl.fcntl(given.get(number, self.null), fcntl.F_DUPFD, 64) for number in range(5)]
        for number, descriptor in enumerate(spare):
            os.dup2(descriptor, number, inheritable=number < 3)
        os.closerange(5, 1 << 20)
        privileges.give_up(self.uid, limits["resources"], self.filters[limits["filter"]])
        if job["job"] == "module":
            nonce, source = receive_source(3)
            candidate.serve_module(3, nonce, source)
        elif job["job"] == "program":
            nonce, source = receive_source(3)
            os.close(4)
            candidate.run_program(3, nonce, source)
        elif job["job"] == "compile":
            compile_program(3, 4, job["command"])
        elif job["job"] == "binary":
            execute(4)


def receive_source(channel):
    """The nonce and the source, as the service writes them first."""
    data = b""
    while len(data) < 20 or len(data) < 20 + int.from_bytes(data[16:20], "little"):
        more = os.read(channel, min(1 << 16, 20 + int.from_bytes(data[16:20], "little") - len(data)) if len(data) >= 20
                       else 20 - len(data))
        if not more:
            os._exit(0)
        data += more
    return data[:16], data[20:]


def compile_program(channel, output, command):
    """Compiles the source and copies the program into the file `output`; says on the channel how it went."""
    nonce, source = receive_source(channel)
    with open("main.cc", "wb") as file:
        file.write(source)
    with open("messages", "wb") as messages:
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages).returncode
    with open("messages", "rb") as messages:
        text = messages.read(COMPILER_TEXT_BYTES).decode("utf-8", "replace")
    kind, report = candidate.SYNTAX, ("compiler", text, "SyntaxError")
    if status == 0 and os.path.exists("program"):
        with open("program", "rb") as program, open(output, "wb", closefd=False) as file:
            shutil.copyfileobj(program, file, 1 << 20)
        kind, report = candidate.READY, None
    payload = candidate.marshal.dumps(report, 2)
    os.write(channel, nonce + bytes(4) + bytes((kind,)) + len(payload).to_bytes(4, "little") + payload)


def execute(program):
    arguments = (ctypes.c_char_p * 2)(b"program", None)
    environment = (ctypes.c_char_p * 2)(b"LANG=C.UTF-8", None)
    os.set_inheritable(3, False)
    libc.syscall(SYS_execveat, program, b"", arguments, environment, AT_EMPTY_PATH)


if __name__ == "__main__":
    Zygote().serve()
    os._exit(0)
