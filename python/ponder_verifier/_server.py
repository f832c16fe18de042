"""The gRPC service around a judge."""
from __future__ import annotations

import signal
import threading
import time
from concurrent import futures
from typing import Callable, Dict, Sequence, Tuple, Union

import grpc

from ponder_verifier import _wire
from ponder_verifier._records import Status, Task, Verdict

# A function of a task and a completion. True and False are CORRECT and WRONG; a number from 0 to 1
# is a score, CORRECT where it is 1. May be called by several threads at once.
Judge = Callable[[Task, str], Union[Verdict, bool, float]]

_MAX_MESSAGE_BYTES = 256 << 20


def _verdict(said: Union[Verdict, bool, float]) -> Verdict:
    if isinstance(said, Verdict):
        return said
    if isinstance(said, (bool, int, float)):
        return Verdict(Status.CORRECT if said == 1 else Status.WRONG, float(said))
    raise TypeError(f"the judge returned {type(said).__name__}, not a Verdict, bool or float")


def _judge_item(judge: Judge, task: Task, completion: str, context: grpc.ServicerContext) -> Tuple[Verdict, int]:
    started = time.perf_counter()
    left = context.time_remaining()
    if left is not None and left <= 0:
        return Verdict(Status.INTERNAL, reason="the deadline had passed before this item's turn"), 0
    try:
        verdict = _verdict(judge(task, completion))
        _wire.write_verdicts([(verdict, 0)])  # whatever cannot be written is this item's alone
    except Exception as error:  # the judge's own failure is never a verdict on the answer
        verdict = Verdict(Status.INTERNAL, reason=f"{type(error).__name__}: {error}")
    return verdict, int(1e6 * (time.perf_counter() - started))


def _make_server(judge: Judge, description: bytes, threads: int) -> grpc.Server:
    def describe(request: bytes, context: grpc.ServicerContext) -> bytes:
        return description

    def verify(request: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            items = _wire.read_items(request)
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"no VerifyRequest: {error}")
        return _wire.write_verdicts([_judge_item(judge, task, text, context) for task, text in items])

    # Without (de)serializers handlers get and give bytes.
    handlers: Dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Describe": grpc.unary_unary_rpc_method_handler(describe),
        "Verify": grpc.unary_unary_rpc_method_handler(verify),
    }
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=threads),
        options=[
            ("grpc.so_reuseport", 0),  # a port in use is an error
            ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
        ],
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("ponder.v1.Verifier", handlers)])
    return server


def serve(
    judge: Judge,
    *,
    name: str = "",
    version: str = "1",
    task_kinds: Sequence[str] = (),
    listen: str = "127.0.0.1:5001",
    max_batch: int = 0,
    threads: int = 4,
) -> None:
    """Serves a judge over gRPC until SIGINT or SIGTERM; prints "listening on HOST:PORT" first.

    name, version: recorded with each run; name is the function's own where it is empty.
    task_kinds: kinds it can judge; empty: any.
    listen: host and port; port 0 takes a free one. Calls are neither encrypted nor authenticated, so
        stay on the loopback and reach it through a tunnel.
    max_batch: items a call may hold; 0: no limit of its own.
    threads: calls judged at once.

    An exception in the judge makes the item INTERNAL: it is judged again, never scored 0. OSError
    where the address cannot be had.
    """
    description = _wire.write_description(name or getattr(judge, "__name__", "python"), version, task_kinds, max_batch)
    server = _make_server(judge, description, threads)
    port = server.add_insecure_port(listen)
    if port == 0:
        raise OSError(f"cannot listen on {listen}: is the port in use?")
    server.start()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    print(f"listening on {listen.rsplit(':', 1)[0]}:{port}", flush=True)
    ended.wait()
    server.stop(grace=1).wait()
