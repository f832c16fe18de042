"""What code_verifier_bench compares with, without any sandbox: `fork` forks a warm interpreter for each check and reaps it,
`process` starts python3 for each. Reads JSON lines {"code", "tests"} and takes them in turn.

    bare_python_loop.py fork|process CHECKS FOLDER_OF_ZYGOTE < PROGRAMS

Prints the seconds that the checks took; a check that fails is an error.
"""

import gc
import json
import os
import subprocess
import sys
import time


def run(program):
    names = {"__name__": "solution"}
    exec(compile(program["code"], "solution.py", "exec"), names)
    exec(compile(program["tests"], "tests.py", "exec"), names)


def check_in_fork(program):
    pid = os.fork()
    if pid == 0:
        try:
            run(program)
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(pid, 0)[1] != 0:
        sys.exit("a check failed")


def check_in_process(program):
    subprocess.run([sys.executable, "-c", program["code"] + "\n" + program["tests"]], check=True)


def main():
    how, checks, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    programs = [json.loads(line) for line in sys.stdin]
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    import zygote  # noqa: the same warm modules

    gc.collect()
    gc.freeze()
    check = {"fork": check_in_fork, "process": check_in_process}[how]
    check(programs[0])
    start = time.monotonic()
    for number in range(checks):
        check(programs[number % len(programs)])
    print(time.monotonic() - start)


if __name__ == "__main__":
    main()
