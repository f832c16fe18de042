#!/usr/bin/env python3
"""Golds of GSM8K and SVAMP against themselves in ten spellings, and against themselves plus one.

usage: check_math_data.py --ponder build/release/ponder gsm8k/train.jsonl gsm8k/test.jsonl svamp.jsonl
Rows are {"question", "answer"}; GSM8K's gold follows "####". Exit 1 where a verdict is not as expected.
"""
import argparse
import decimal
import json
import subprocess
import sys


def gold_of(answer):
    return str(answer).split("####")[-1].strip()


def spellings(number):
    value = decimal.Decimal(number.replace(",", ""))
    plain = f"{value:f}"
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    grouped = f"{decimal.Decimal(plain):,}"
    numerator, denominator = decimal.Decimal(plain).as_integer_ratio()
    return [
        f"\\boxed{{{grouped}}}",
        f"\\boxed{{{plain}}}",
        f"so \\boxed{{{plain}.0}}" if "." not in plain else f"so \\boxed{{{plain}0}}",
        f"That makes \\boxed{{\\${plain}}}.",
        f"\\boxed{{{plain} dollars}}",
        f"\\boxed{{{plain}\\text{{ apples}}}}",
        f"<answer>{plain}</answer>",
        f"#### {grouped}",
        f"The answer is {plain}.",
        f"\\boxed{{x = \\frac{{{2 * numerator}}}{{{2 * denominator}}}}}",
    ], f"{decimal.Decimal(plain) + 1:f}"


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--ponder", default="build/release/ponder")
    arguments.add_argument("files", nargs="+")
    options = arguments.parse_args()
    for path in options.files:
        rows, expected = [], []
        golds = [gold_of(json.loads(line)["answer"]) for line in open(path, encoding="utf-8")]
        for gold in golds:
            right, more = spellings(gold)
            for completion in right:
                rows.append({"gold": gold, "completion": completion})
                expected.append("CORRECT")
            for completion in spellings(more)[0]:
                rows.append({"gold": gold, "completion": completion})
                expected.append("WRONG")
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        run = subprocess.run([options.ponder, "verify", "--verifier", "math"], input=lines, text=True,
                             capture_output=True, check=True)
        verdicts = [json.loads(line) for line in run.stdout.splitlines()]
        assert len(verdicts) == len(rows), (len(verdicts), len(rows))
        wrong = [(row, verdict) for row, verdict, status in zip(rows, verdicts, expected)
                 if verdict["status"] != status]
        print(f"{path}: {len(golds)} golds, {len(rows)} verdicts, {len(wrong)} not as expected; "
              f"{run.stderr.strip()}")
        for row, verdict in wrong[:10]:
            print("  ", row, verdict["status"], verdict["reason"])
        if wrong:
            sys.exit(1)


if __name__ == "__main__":
    main()
