"""Runs the tests of tasks; never sees the code under test.

The tests run here as they are written, with the expected values in them. The functions and classes that they call are stubs:
each call goes to the candidate's process as plain data and comes back as plain data, so what the tests compare are values of
exact types that nobody else holds.

Service -> judge, after u32 length:
    u8 1 | JSON                the tests of a task: {"setup", "tests": [source...], "entry_point"} or {"calls": [...]}
    u8 2 | u8 kind | marshal   the candidate's answer to the next operation, already checked (candidate.py names the kinds)
    u8 3                       there will be no more answers
Judge -> service, after u32 length:
    u8 1 | bytes               an operation for the candidate
    u8 2 | JSON                {"outcome", "test", "tests", "reason", "lost"}: what became of the tests; "lost" where this
                               process ends after that
"""

import ctypes
import gc
import json
import os
import resource
import sys
from collections import OrderedDict

from conversation import LOST, Broken, Conversation, Service
from test_calls import Calls, integers_of
from test_program import Program

TASK, OUTCOME = 1, 2
RESOURCES = {resource.RLIMIT_AS: 2 << 30, resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: 32, resource.RLIMIT_FSIZE: 0,
             resource.RLIMIT_NPROC: 8}
MAX_REASON = 600         # characters
KEPT_PROGRAMS = 256      # compiled tests, for the many completions of one task
KEPT_BYTES = 16 << 20    # of their sources
MAX_DIGITS = 200_000     # of a number that tests write out; the time that it takes grows with the square
REPORTED = 77            # exit status of a fork that has said what became of the tests


class Judge:
    def __init__(self):
        self.service = Service()
        self.programs = OrderedDict()
        self.kept_bytes = 0

    def program(self, text):
        """The compiled tests, or why they cannot be."""
        if text in self.programs:
            self.programs.move_to_end(text)
            return self.programs[text]
        try:
            spec = json.loads(text, object_hook=integers_of)
            program = Calls(spec) if "calls" in spec else Program(spec)
        except Broken as problem:
            program = problem
        except (RecursionError, MemoryError, ValueError, TypeError) as problem:
            program = Broken(f"the tests cannot be read: {type(problem).__name__}: {problem}")
        self.programs[text] = program
        self.kept_bytes += len(text)
        while len(self.programs) > KEPT_PROGRAMS or (self.kept_bytes > KEPT_BYTES and len(self.programs) > 1):
            self.kept_bytes -= len(self.programs.popitem(last=False)[0])
        return program

    def serve(self):
        while True:
            frame = self.service.read_frame()
            if frame[0] != TASK:
                continue  # answers that came after the tests had seen enough
            program = self.program(frame[1:])
            if isinstance(program, Broken):
                self.report(broken(str(program)))
            elif program.harmless:
                self.report(self.run(program))
            else:
                self.run_in_fork(program)

    def run_in_fork(self, program):
        child = os.fork()
        if child == 0:
            self.report(self.run(program))
            os._exit(REPORTED)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == REPORTED:
            return
        if status >= 0 and status != LOST:
            self.report({**broken("the tests ended their own process"), "lost": True})
        os._exit(1)  # what it had read of the channel is gone with it

    def report(self, outcome):
        outcome["reason"] = outcome["reason"].encode("utf-8", "replace").decode()  # no single surrogates
        self.service.write_frames([bytes((OUTCOME,)) + json.dumps(outcome).encode()])

    def run(self, program):
        conversation = Conversation(self.service, program)
        outcome, reason = "passed", ""
        try:
            program.run(conversation)
            if conversation.answered == 0:
                outcome, reason = "broken", "the tests call no function of the answer's"
            elif conversation.test == 0:
                outcome, reason = "broken", "the tests assert nothing"
        except BaseException as problem:  # SystemExit in tests, too
            if conversation.fault is None:
                outcome, reason = self.explain(program, conversation, problem)
        outcome, reason = conversation.fault or (outcome, reason)
        return {"outcome": outcome, "test": conversation.test, "tests": program.tests, "reason": reason[:MAX_REASON]}

    def explain(self, program, conversation, problem):
        told = getattr(problem, "from_candidate", None)
        if told is not None:
            return "failed", told
        if conversation.answered == 0:
            return "broken", f"the tests raise {type(problem).__name__}: {text_of(problem)}"
        after = f"after {conversation.last()}"
        if isinstance(problem, AssertionError):
            return "failed", f"{program.source_of(conversation.test)} fails {after}"
        return "failed", f"the test raises {type(problem).__name__}: {text_of(problem)} {after}"


def text_of(problem):
    try:
        return str(problem)
    except Exception:  # e.g. a KeyError of a number of too many digits
        return "?"


def broken(reason):
    return {"outcome": "broken", "test": 0, "tests": 0, "reason": reason[:MAX_REASON]}


def main():
    for kind, value in RESOURCES.items():
        resource.setrlimit(kind, (value, value))
    if ctypes.CDLL("/ponder/native.so").PonderConfine() != 0:
        os._exit(1)
    sys.set_int_max_str_digits(MAX_DIGITS)
    gc.collect()
    gc.freeze()
    judge = Judge()
    judge.service.write_frames([b"ready"])
    judge.serve()


if __name__ == "__main__":
    main()
