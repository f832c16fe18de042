#!/usr/bin/python3
"""Looks at real dashboards with tests/observe/dashboard_browser_test.py: at a stored run beside a short one, then at a run under way.

    run_browser_test.py PROGRAM STORE_BENCH MAKE_TINY_MODEL BROWSER_TEST OUTPUT [--stored RUN] [--limits]

--stored looks at a run that is there instead of making one. Pictures stay in OUTPUT. Ends with 77 where Chromium or Selenium is missing.
"""
import argparse
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

MISSING = 77
START_S = 120
END_S = 60

TINY_RUN = """
[run]
steps = 1000000
checkpoint_every = 1000000
[model]
directory = "{folder}/model"
dtype = "f32"
[tasks]
kind = "file"
[tasks.file]
path = "{folder}/tasks.jsonl"
[verifier]
extraction = "anywhere"
[prompt]
template = "plain"
[rollout]
prompts_per_step = 6
completions_per_prompt = 4
max_new_tokens = 12
max_sequences = 24
cache_tokens = 4096
[learner]
micro_batch_tokens = 256
[eval]
tasks = 4
[machine]
threads = 1
[dashboard]
listen = "127.0.0.1:0"
"""


def end(process):
    process.send_signal(signal.SIGINT)
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def look(options, url, runs, name, *flags):
    command = ["/usr/bin/python3", options.browser_test, "--url", url, "--run", runs[0], "--output", str(options.output / name), *flags]
    for other in runs[1:]:
        command += ["--run2", other]
    return subprocess.run(command).returncode == 0


def look_at_stored(options, folder):
    stored, short = options.stored or folder / "stored", folder / "short"
    if options.stored is None:
        make = [options.store_bench, stored, "--keep", "--steps", "60", "--groups", "8", "--completions", "8", "--tokens", "48"]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
    make = [options.store_bench, short, "--keep", "--steps", "24", "--groups", "4", "--completions", "8", "--tokens", "32"]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
    server = subprocess.Popen([options.program, "dashboard", stored, short, "--listen", "127.0.0.1:0", "--json"], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL)
    try:
        url = json.loads(server.stdout.readline())["url"]
        return look(options, url, [stored.name, short.name], "stored", *(["--limits"] if options.limits else []))
    finally:
        end(server)


def look_at_live(options, folder):
    subprocess.run([options.make_tiny_model, folder / "model"], check=True)
    # Random text is right now and then where any digit is an answer.
    tasks = [{"question": f"say {i}", "answer": str(i % 3 + 1)} for i in range(40)]
    (folder / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))
    (folder / "run.toml").write_text(TINY_RUN.format(folder=folder))
    run = subprocess.Popen([options.program, "train", folder / "run.toml", "--run", folder / "live"], stderr=subprocess.PIPE, text=True,
                           errors="replace")
    lines, url, ready = [], [], threading.Event()

    def listen():
        for line in run.stderr:
            lines.append(line)
            url.extend(re.findall(r"http://127\.0\.0\.1:\d+/", line))
            if line.startswith("step 3/"):
                ready.set()
        ready.set()

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        if not (ready.wait(START_S) and url and run.poll() is None):
            print("the run did not come to its third step with a dashboard:\n" + "".join(lines))
            return False
        return look(options, url[0], ["live"], "live", "--live") and run.poll() is None
    finally:
        end(run)
        listener.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("program", "store_bench", "make_tiny_model", "browser_test"):
        parser.add_argument(name)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--stored", type=pathlib.Path)
    parser.add_argument("--limits", action="store_true")
    options = parser.parse_args()
    selenium = subprocess.run(["/usr/bin/python3", "-c", "import selenium"], capture_output=True).returncode == 0
    if not (selenium and shutil.which("chromium") and shutil.which("chromedriver")):
        print("Chromium, its driver or Selenium is missing: install chromium, chromium-driver and python3-selenium")
        sys.exit(MISSING)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        fine = [look_at_stored(options, folder), look_at_live(options, folder)]
    sys.exit(0 if all(fine) else 1)


main()
