#!/usr/bin/env python3
"""Runs the examples of the pages on verifiers: each ```sh block that calls `ponder verify` must give CORRECT or WRONG, each
```toml block must be a configuration.

    run_examples.py REPOSITORY PROGRAM PAGE...
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

repository, program = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
failures = ran = 0
with tempfile.TemporaryDirectory() as folder:
    # As if it were the repository's root, without leaving files in it.
    for name in ("examples", "python", "verifiers"):
        os.symlink(repository / name, pathlib.Path(folder) / name)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    for page in sys.argv[3:]:
        for block in re.findall(r"^```sh\n(.*?)^```$", (repository / page).read_text(), re.S | re.M):
            if "ponder verify" not in block or "--on" in block:
                continue
            ran += 1
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=folder, env=environment, capture_output=True, text=True)
            if done.returncode != 0 and "sandbox cannot be made" in done.stderr:
                print(f"{page}: left out, for {done.stderr.strip()}")
                continue
            verdicts = [json.loads(line) for line in done.stdout.splitlines()]
            if done.returncode != 0 or not verdicts or any(v["status"] not in ("CORRECT", "WRONG") for v in verdicts):
                failures += 1
                print(f"{page}:\n{block}\nexit {done.returncode}\n{done.stdout}{done.stderr}")
        for block in re.findall(r"^```toml\n(.*?)^```$", (repository / page).read_text(), re.S | re.M):
            ran += 1
            file = pathlib.Path(folder) / "example.toml"
            file.write_text(block)
            done = subprocess.run([program, "config", file], capture_output=True, text=True)
            if done.returncode != 0:
                failures += 1
                print(f"{page}:\n{block}\n{done.stderr}")
print(f"{ran} examples, {failures} failures")
sys.exit(1 if failures or ran < len(sys.argv[3:]) else 0)
