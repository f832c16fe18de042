#!/usr/bin/env python3
"""A verifier for Ponder: within 1 % of the gold is right, within 10 % scores a half.

    python3 -m pip install grpcio grpcio-tools
    python3 examples/python_verifier/verifier.py 5001
"""
from __future__ import annotations

import math
import re
import sys
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

# Reads the messages and the service from the .proto files; nothing is generated beforehand.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "proto"))
messages: Any
services: Any
messages, services = grpc.protos_and_services("ponder/v1/verifier.proto")
records: Any = grpc.protos("ponder/v1/records.proto")

BOX = re.compile(r"\\boxed\{([^{}]*)\}")


def verdict(status: str, score: float = 0.0, extracted: str = "", reason: str = "") -> Any:
    read = status in ("CORRECT", "WRONG")
    return records.Verdict(
        status=records.VerdictStatus.Value(f"VERDICT_STATUS_{status}"), score=score,
        parts={"format": float(read)}, extracted=extracted, reason=reason)


def number(text: str) -> float | None:
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def judge(gold: str, completion: str) -> Any:
    """The verdict on one completion."""
    expected = number(gold)
    if expected is None:
        return verdict("INVALID_GOLD", reason=f"{gold!r} is no number")
    boxes = BOX.findall(completion)
    if not boxes:
        return verdict("NO_ANSWER", reason="no \\boxed{}")
    found = number(boxes[-1])
    if found is None:
        return verdict("UNPARSEABLE", extracted=boxes[-1], reason="no number in \\boxed{}")
    distance = abs(found - expected) / max(abs(expected), 1e-9)
    score = 1.0 if distance <= 0.01 else 0.5 if distance <= 0.1 else 0.0
    status = "CORRECT" if score == 1.0 else "WRONG"
    return verdict(status, score, boxes[-1], f"{100 * distance:.1f} % off")


class CloseEnough(services.VerifierServicer):
    def Describe(self, request: Any, context: grpc.ServicerContext) -> Any:
        return messages.DescribeResponse(name="close-enough", version="1", task_kinds=["math"])

    def Verify(self, request: Any, context: grpc.ServicerContext) -> Any:
        verdicts = [judge(item.task.gold, item.completion) for item in request.items]
        return messages.VerifyResponse(verdicts=verdicts)


def main() -> None:
    wanted = sys.argv[1] if len(sys.argv) > 1 else "5001"
    pool = futures.ThreadPoolExecutor(max_workers=4)
    server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])  # a port in use is an error
    services.add_VerifierServicer_to_server(CloseEnough(), server)
    port = server.add_insecure_port(f"127.0.0.1:{wanted}")
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
