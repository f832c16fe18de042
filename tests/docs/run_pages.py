#!/usr/bin/env python3
"""Runs the commands of the documentation's pages as a reader would, from a folder that looks like the repository's root, with a tiny
model in place of the real one and runs of a few steps.

    run_pages.py REPOSITORY PROGRAM MAKE_TINY_MODEL PAGE...

Each ```sh block is run in order by bash; it must succeed. One that begins with "# in a terminal of its own" is started beside the
following ones and stopped at the page's end. Blocks without a language are shown, not run. Ports are replaced by free ones.
"""
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

BESIDE = "# in a terminal of its own"
TIMEOUT_S = 240
# What makes a run small: said before the page's own --set, so that those win.
SMALL = ["run.steps=2", "run.checkpoint_every=1", "rollout.prompts_per_step=2", "rollout.completions_per_prompt=4", "rollout.max_new_tokens=8",
         "rollout.max_sequences=8", "rollout.cache_tokens=4096", "learner.micro_batch_tokens=1024", "eval.tasks=2"]
SMALL_COLD_START = ["sft.examples=4", "sft.batch=2"]  # where the configuration has one


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def write_wrapper(path, program):
    """A `ponder` that makes runs small."""
    keys = lambda names: " ".join("--set " + name for name in names)
    path.write_text(f"""#!/bin/bash
small="{keys(SMALL)}"
case "$*" in *quickstart.toml*) small="$small {keys(SMALL_COLD_START)}" ;; esac
case "$1" in train | learner | sft) set -- "$1" $small "${{@:2}}" ;; esac
exec {program} "$@"
""")
    path.chmod(0o755)


def run_page(page, text, folder, environment):
    """Runs a page's blocks; returns (number run, whether all succeeded)."""
    ports, beside, ran = {}, [], 0
    try:
        for block in re.findall(r"^```sh\n(.*?)^```$", text, re.S | re.M):
            for port in re.findall(r"127\.0\.0\.1:(\d+)", block):
                ports.setdefault(port, free_port())
            for port, replacement in ports.items():
                block = block.replace(f"127.0.0.1:{port}", f"127.0.0.1:{replacement}")
            ran += 1
            command = ["bash", "-euo", "pipefail", "-c", block]
            if block.startswith(BESIDE):
                log = tempfile.TemporaryFile("w+", errors="replace")
                beside.append((block, log, subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)))
                continue
            started = time.monotonic()
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S)
            print(f"{page}: block {ran}, {time.monotonic() - started:.1f} s", flush=True)
            if done.returncode != 0:
                print(f"{block}\nexit {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
                for other, log, _ in beside:
                    log.seek(0)
                    print(f"beside it: {other}\n{log.read()[-4000:]}")
                return ran, False
        return ran, True
    finally:
        for _, log, process in beside:
            try:
                os.killpg(process.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
            process.wait(TIMEOUT_S)
            log.close()


def main():
    repository, program, make_tiny_model = (pathlib.Path(p).resolve() for p in sys.argv[1:4])
    failures = 0
    for page in sys.argv[4:]:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            for entry in ("configs", "examples", "python", "verifiers"):
                os.symlink(repository / entry, folder / entry)
            (folder / "bin").mkdir()
            write_wrapper(folder / "bin" / "ponder", program)
            environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
            subprocess.run([make_tiny_model, folder / "models" / "smollm2-135m-instruct"], check=True)
            text = (repository / page).read_text()
            if "runs/quickstart" in text:
                subprocess.run(["ponder", "train", "configs/quickstart.toml", "--run", "runs/quickstart"], cwd=folder, env=environment, check=True,
                               capture_output=True)
            ran, fine = run_page(page, text, folder, environment)
            failures += not fine
            if ran == 0:
                print(f"{page}: no commands")
                failures += 1
    sys.exit(1 if failures else 0)


main()
