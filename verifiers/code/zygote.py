"""Process 1 of a box: a warm interpreter that forks a candidate for each job.

It runs trusted code only; zygote_native.cc waits for jobs, forks, and makes each candidate's sandbox. A candidate has process
ids of its own and an empty /tmp, no privilege, and is killed with all it started when its first process ends.
"""

import bisect, cmath, collections, contextlib, copy, datetime, decimal, enum, fractions, functools, heapq  # noqa: warmth
import io, itertools, json, math, operator, random, re, statistics, string, typing  # noqa: for programs that import them
import ctypes
import gc
import os
import shutil
import subprocess

import candidate

CHANNEL, FILE = 3, 4
MODULE, PROGRAM, COMPILE, BINARY = 1, 2, 3, 4
COMPILER_TEXT_BYTES = 4096


def receive_source(channel):
    """The nonce and the source, as the service writes them first, and what was read beyond."""
    data = b""
    while len(data) < 20 or len(data) < 20 + int.from_bytes(data[16:20], "little"):
        more = os.read(channel, 1 << 16)
        if not more:
            os._exit(0)
        data += more
    end = 20 + int.from_bytes(data[16:20], "little")
    return data[:16], data[20:end], data[end:]


def compile_program(nonce, source, command):
    """Compiles the source and copies the program into the job's file; says on the channel how it went."""
    with open("main.cc", "wb") as file:
        file.write(source)
    with open("messages", "wb") as messages:
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages).returncode
    with open("messages", "rb") as messages:
        text = messages.read(COMPILER_TEXT_BYTES).decode("utf-8", "replace")
    kind, report = candidate.SYNTAX, ("compiler", text, "SyntaxError")
    if status == 0 and os.path.exists("program"):
        with open("program", "rb") as program, open(FILE, "wb", closefd=False) as file:
            shutil.copyfileobj(program, file, 1 << 20)
        kind, report = candidate.READY, None
    candidate.report_loading(CHANNEL, nonce, kind, report)


def main():
    with open("/ponder/settings.json") as file:
        settings = json.load(file)
    native = ctypes.PyDLL("/ponder/native.so")
    serve_module = candidate.make_server()
    gc.collect()
    gc.freeze()
    job = native.PonderServe()
    # From here on this is a candidate's process.
    if job == BINARY:
        native.PonderExecute()
        os._exit(1)
    nonce, source, rest = receive_source(CHANNEL)
    if job == MODULE:
        serve_module(CHANNEL, nonce, source, rest)
    elif job == PROGRAM:
        os.close(FILE)
        candidate.run_program(CHANNEL, nonce, source)
    elif job == COMPILE:
        compile_program(nonce, source, settings["compile_command"])
    os._exit(0)


if __name__ == "__main__":
    main()
