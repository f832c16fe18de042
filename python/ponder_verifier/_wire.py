"""The five messages of proto/ponder/v1/verifier.proto as bytes.

Written out by hand so that grpcio is all that a verifier needs. The format is Protocol Buffers'
(https://protobuf.dev/programming-guides/encoding): a sequence of fields, each a tag (number << 3 |
wire type) and a value.
"""
from __future__ import annotations

import struct
from typing import Iterable, Iterator, List, Sequence, Tuple, Union

from ponder_verifier._records import Task, Verdict

Value = Union[int, float, bytes]
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, value: Union[int, float, str, bytes]) -> bytes:
    """A field; nothing where the value is the default."""
    if not value:
        return b""
    if isinstance(value, float):
        return _varint(number << 3 | FIXED64) + struct.pack("<d", value)
    if isinstance(value, int):
        return _varint(number << 3 | VARINT) + _varint(value)
    data = value.encode("utf-8", "replace") if isinstance(value, str) else value
    return _varint(number << 3 | BYTES) + _varint(len(data)) + data


def _submessage(number: int, data: bytes) -> bytes:
    """A message inside another one: there even where it is empty."""
    return _varint(number << 3 | BYTES) + _varint(len(data)) + data


def _read_varint(data: bytes, at: int) -> Tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("a number is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
    raise ValueError("a number has more than ten bytes")


def _fields(data: bytes) -> Iterator[Tuple[int, Value]]:
    """Number and value of each field. ValueError where the bytes are no message."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _read_varint(data, at)
            yield number, value
            continue
        if kind == BYTES:
            size, at = _read_varint(data, at)
        elif kind == FIXED64:
            size = 8
        elif kind == FIXED32:
            size = 4
        else:
            raise ValueError(f"wire type {kind} is not used by these messages")
        if size > len(data) - at:
            raise ValueError(f"a field of {size} bytes is cut off after {len(data) - at}")
        content = data[at : at + size]
        at += size
        yield number, struct.unpack("<d", content)[0] if kind == FIXED64 else content


def _bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError(f"expected text or a message, found {value!r}")
    return value


def _text(value: Value) -> str:
    return _bytes(value).decode("utf-8", "replace")


def _read_task(data: bytes) -> Task:
    names = {1: "id", 2: "kind", 3: "source", 4: "question", 5: "gold", 6: "data"}
    texts = {}
    difficulty = 0.0
    for number, value in _fields(data):
        if number in names:
            texts[names[number]] = _text(value)
        elif number == 7:
            if not isinstance(value, float):
                raise ValueError(f"expected difficulty as a number, found {value!r}")
            difficulty = value
    return Task(**texts, difficulty=difficulty)


def read_items(request: bytes) -> List[Tuple[Task, str]]:
    """The items of a VerifyRequest: task and completion. ValueError where the bytes are none."""
    items = []
    for number, value in _fields(request):
        if number != 1:
            continue
        task, completion = Task(), ""
        for inner, content in _fields(_bytes(value)):
            if inner == 1:
                task = _read_task(_bytes(content))
            elif inner == 2:
                completion = _text(content)
        items.append((task, completion))
    return items


def write_verdicts(verdicts: Iterable[Tuple[Verdict, int]]) -> bytes:
    """A VerifyResponse of verdicts with the microseconds that each took."""
    out = []
    for verdict, elapsed_us in verdicts:
        score = verdict.score
        if score is None:
            score = 1.0 if verdict.status == verdict.status.CORRECT else 0.0
        parts = b"".join(
            _submessage(3, _field(1, name) + _field(2, float(value)))
            for name, value in verdict.parts.items()
        )
        out.append(
            _submessage(
                1,
                _field(1, int(verdict.status))
                + _field(2, float(score))
                + parts
                + _field(4, verdict.extracted)
                + _field(5, verdict.reason)
                + _field(6, elapsed_us),
            )
        )
    return b"".join(out)


def write_description(name: str, version: str, task_kinds: Sequence[str], max_batch: int) -> bytes:
    """A DescribeResponse."""
    kinds = b"".join(_submessage(3, kind.encode()) for kind in task_kinds)
    return _field(1, name) + _field(2, version) + kinds + _field(4, max_batch)
