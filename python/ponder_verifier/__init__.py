"""Serve a verifier for Ponder, written as a Python function.

    from ponder_verifier import Task, serve

    def judge(task: Task, completion: str) -> bool:
        return completion.strip().endswith(task.gold)

    serve(judge, listen="127.0.0.1:5001")
"""
from ponder_verifier._records import Status, Task, Verdict
from ponder_verifier._server import Judge, serve

__all__ = ["Judge", "Status", "Task", "Verdict", "serve"]
