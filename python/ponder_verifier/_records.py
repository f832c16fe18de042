"""What a verifier gets and gives; proto/ponder/v1/records.proto has the same records."""
from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Dict, Optional


class Status(enum.IntEnum):
    """What became of an answer."""

    CORRECT = 1
    WRONG = 2
    NO_ANSWER = 3  # nothing that counts as an answer was found
    UNPARSEABLE = 4  # an answer was found but could not be read
    INVALID_GOLD = 5  # the task is at fault
    TIMEOUT = 6  # the answer's own fault: it ran too long
    INTERNAL = 7  # the verifier's fault: judged again, never a reward


@dataclass(frozen=True)
class Task:
    """A prompt with what its verifier needs."""

    id: str = ""
    kind: str = ""
    source: str = ""
    question: str = ""
    gold: str = ""
    data: str = ""  # a JSON object, or empty
    difficulty: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """What is said of one completion."""

    status: Status
    score: Optional[float] = None  # 0 to 1; None: 1 where CORRECT, else 0
    parts: Dict[str, float] = field(default_factory=dict)  # named scores, such as "format"
    extracted: str = ""  # the answer as found
    reason: str = ""  # one sentence for people
