#!/usr/bin/env python3
"""Judges the reference solutions of HumanEval- and MBPP-style files with `ponder verify --verifier code`: each is to be CORRECT,
and WRONG once its results are changed.

    python3 tests/reference/check_code_tasks.py --ponder build/release/ponder HumanEval.jsonl mbpp.jsonl sanitized-mbpp.json

Prints what differs, by task, and the counts. Exit 1 where anything differs.
"""

import argparse
import ast
import collections
import json
import pathlib
import subprocess
import sys

# Put behind a solution: every function that the tests may call returns something else.
CHANGE = '''

def __changed(value):
    kind = type(value)
    if kind is bool:
        return not value
    if kind in (int, float, complex):
        return 2 * value + 1
    if kind is str:
        return value + "x"
    if kind is bytes:
        return value + b"x"
    if kind is list:
        return value + ["x"]
    if kind is tuple:
        return value + ("x",)
    if kind in (set, frozenset):
        return value | {"x"}
    if isinstance(value, dict):
        return {**value, "x": "x"}
    return "x"


def __wrap(function):
    return lambda *args, **kwargs: __changed(function(*args, **kwargs))


'''


def read_rows(path):
    text = pathlib.Path(path).read_text()
    if path.endswith(".jsonl"):
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return json.loads(text)


def solution_of(row):
    return row["prompt"] + row["canonical_solution"] if "canonical_solution" in row else row["code"]


def tested_functions(row, solution):
    if "entry_point" in row:
        return [row["entry_point"]]
    defined = {node.name for node in ast.parse(solution).body if isinstance(node, ast.FunctionDef)}
    used = {node.func.id for test in row["test_list"] for node in ast.walk(ast.parse(test))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    return sorted(defined & used)


def changed(row, solution):
    return solution + CHANGE + "".join(f"{name} = __wrap({name})\n" for name in tested_functions(row, solution))


def judge(ponder, items):
    lines = "".join(json.dumps(item) + "\n" for item in items)
    done = subprocess.run([ponder, "verify", "--verifier", "code"], input=lines, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ponder", default="build/release/ponder")
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    differ = 0
    for path in arguments.files:
        rows = read_rows(path)
        for expected, make in (("CORRECT", lambda row: solution_of(row)), ("WRONG", lambda row: changed(row, solution_of(row)))):
            items = [{"id": row["task_id"], "task": {"kind": "code", "data": row},
                      "completion": f"```python\n{make(row)}\n```"} for row in rows]
            verdicts = judge(arguments.ponder, items)
            counts = collections.Counter(verdict["status"] for verdict in verdicts)
            print(f"{path}, expected {expected}: {dict(counts)}")
            for verdict in verdicts:
                if verdict["status"] != expected:
                    differ += 1
                    print(f"  {verdict['id']}: {verdict['status']}: {verdict['reason']}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
