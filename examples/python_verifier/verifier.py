#!/usr/bin/env python3
"""A verifier for Ponder: within 1 % of the gold is right, within 10 % scores a half.

    python3 -m pip install ./python
    python3 examples/python_verifier/verifier.py 5001
"""
from __future__ import annotations

import math
import re
import sys

from ponder_verifier import Status, Task, Verdict, serve

BOX = re.compile(r"\\boxed\{([^{}]*)\}")


def number(text: str) -> float | None:
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def close_enough(task: Task, completion: str) -> Verdict:
    expected = number(task.gold)
    if expected is None:
        return Verdict(Status.INVALID_GOLD, reason=f"{task.gold!r} is no number")
    boxes = BOX.findall(completion)
    if not boxes:
        return Verdict(Status.NO_ANSWER, reason="no \\boxed{}")
    found = number(boxes[-1])
    if found is None:
        return Verdict(Status.UNPARSEABLE, extracted=boxes[-1], reason="no number in \\boxed{}")
    distance = abs(found - expected) / max(abs(expected), 1e-9)
    score = 1.0 if distance <= 0.01 else 0.5 if distance <= 0.1 else 0.0
    return Verdict(
        Status.CORRECT if score == 1.0 else Status.WRONG,
        score,
        parts={"format": 1.0},
        extracted=boxes[-1],
        reason=f"{100 * distance:.1f} % off",
    )


if __name__ == "__main__":
    port = sys.argv[1] if len(sys.argv) > 1 else "5001"
    serve(close_enough, task_kinds=["math"], listen=f"127.0.0.1:{port}")
