#!/usr/bin/env python3
"""A verifier for Ponder that reads and writes JSON lines: how short the completion is.

    command = ["python3", "examples/command_verifier/verifier.py", "40"]

An empty completion scores 1, one of 40 words or more 0.
"""
import json
import sys

most_words = int(sys.argv[1])
for line in sys.stdin:
    item = json.loads(line)
    words = len(item["completion"].split())
    score = max(0.0, 1.0 - words / most_words)
    print(json.dumps({"id": item["id"], "score": score, "reason": f"{words} words"}), flush=True)
