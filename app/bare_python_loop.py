"""What the code verifier is measured beside: executors without any sandbox.

    bare_python_loop.py PROGRAMS < ORDERS

PROGRAMS holds JSON lines {"code", "tests"}, which are taken in turn. An order is a line "fork N" or "process N": check N
programs, and print the seconds that it took. `fork` forks this interpreter, with the modules of candidates loaded, for each
check and reaps it. `process` starts python3 for each check; it loads the same modules, as candidates can count on them.
"""

import gc
import json
import os
import subprocess
import sys
import time

import zygote  # noqa: the modules that candidates have

IMPORTS = """import bisect, cmath, collections, contextlib, copy, datetime, decimal, enum, fractions, functools, heapq
import io, itertools, json, math, operator, random, re, statistics, string, typing
"""


def check_in_fork(program):
    pid = os.fork()
    if pid == 0:
        try:
            names = {"__name__": "solution"}
            exec(compile(program["code"], "solution.py", "exec"), names)
            exec(compile(program["tests"], "tests.py", "exec"), names)
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(pid, 0)[1] != 0:
        sys.exit("a check failed")


def check_in_process(program):
    subprocess.run([sys.executable, "-c", IMPORTS + program["code"] + "\n" + program["tests"]], check=True)


def main():
    with open(sys.argv[1]) as file:
        programs = [json.loads(line) for line in file]
    checks = {"fork": check_in_fork, "process": check_in_process}
    gc.collect()
    gc.freeze()
    for order in sys.stdin:
        how, count = order.split()
        start = time.monotonic()
        for number in range(int(count)):
            checks[how](programs[number % len(programs)])
        print(time.monotonic() - start, flush=True)


if __name__ == "__main__":
    main()
