"""A conversation with the candidate: calls of its functions, and what stands for them and its objects in the tests."""

import builtins
import marshal
import os
import reprlib

from candidate import (CALL, GET, HANDLE, HANDLE_MARK, ITERATE, MISSING, RAISED, SET, TRUTH, VALUE,
                       VALUE_AND_ARGUMENTS)

CHANNEL = 3
GONE = 3
OPERATION = 1
LOST = 78                  # exit status of a process that no longer knows where it is in the channel
LARGE_INTEGER_BITS = 1000  # its digits are not shown: to find them takes a time that grows with the square

PLAIN = {int, float, complex, bool, str, bytes, type(None)}


class Short(reprlib.Repr):
    def repr_int(self, value, level):
        if value.bit_length() > LARGE_INTEGER_BITS:
            return f"<an integer of {value.bit_length()} bits>"
        return super().repr_int(value, level)


short = Short()
short.maxstring = short.maxother = short.maxlong = 120
short.maxlist = short.maxtuple = short.maxdict = short.maxset = 12


class CandidateError(Exception):
    """What the candidate raised, where it is no built-in exception."""


class Missing(BaseException):
    """The candidate does not define a name that the tests use."""


class Gone(BaseException):
    """The candidate has ended; no answer will come."""


class Broken(Exception):
    """The tests themselves are at fault."""


def show(value):
    try:
        return short.repr(value)
    except Exception:
        return "a " + type(value).__name__


class Service:
    """The conversation with the service, and through it with the candidate."""

    def __init__(self):
        self.buffer = bytearray()

    def read_frame(self):
        while len(self.buffer) < 4 or len(self.buffer) < 4 + int.from_bytes(self.buffer[:4], "little"):
            try:
                more = os.read(CHANNEL, 1 << 16)
                self.buffer += more
            except MemoryError:  # bytes are lost, and with them the place where the next frame begins
                os._exit(LOST)
            if not more:
                os._exit(0)
        end = 4 + int.from_bytes(self.buffer[:4], "little")
        frame = bytes(self.buffer[4:end])
        del self.buffer[:end]
        return frame

    def write_frames(self, frames):
        data = b"".join(len(frame).to_bytes(4, "little") + frame for frame in frames)
        while data:
            data = data[os.write(CHANNEL, data):]


class Conversation:
    """One run of a task's tests against one candidate."""

    def __init__(self, service, program):
        self.service = service
        self.program = program
        self.test = 0           # the test under way, counted from 1
        self.answered = 0       # values that came back
        self.lowered = False    # the operation under way has marks in it
        self.last = str         # says what the last operation was
        self.foreseen = []      # operations that were sent before the tests asked for them
        self.early = []         # answers to the first of these
        self.gone = False
        self.fault = None       # an outcome and its reason that hold whatever the tests make of it

    def start(self):
        """Sends the operations that are sure to come, in one go."""
        self.foreseen = list(self.program.foreseen)
        if self.foreseen:
            self.service.write_frames([bytes((OPERATION,)) + request for request in self.foreseen])

    def ask(self, operation, target, first, second, label):
        self.last = label
        if self.gone:
            raise Gone
        self.lowered = False
        plain = self.lower(first), self.lower(second)
        try:
            request = marshal.dumps((operation, target, *plain, self.program.wants_arguments, self.lowered), 2)
        except ValueError:
            self.note("broken", "the tests pass a value that is no plain data: " + label())
            raise Broken from None
        if self.foreseen and is_same_request(self.foreseen[0], request):
            self.foreseen.pop(0)
            frame = self.early.pop(0) if self.early else self.read_answer()
        else:  # answers come in order, so those that were foreseen come first
            self.service.write_frames([bytes((OPERATION,)) + request])
            while len(self.early) < len(self.foreseen):
                self.early.append(self.read_answer())
            frame = self.read_answer()
        self.answered += 1
        value = self.take(frame[1], marshal.loads(frame[2:]), first, second, label)
        self.last = lambda: f"{label()} gave {show(value)}"
        return value

    def read_answer(self):
        frame = self.service.read_frame()
        if frame[0] == GONE:
            self.gone = True
            self.note("gone", self.last())
            raise Gone
        return frame

    def begin_test(self, number):
        if self.fault is None:
            self.test = number

    def note(self, outcome, reason):
        """Tests may catch everything; what ends a check ends it all the same."""
        self.fault = self.fault or (outcome, reason)

    def take(self, kind, value, first, second, label):
        if kind == VALUE:
            return value
        if kind == VALUE_AND_ARGUMENTS:
            value, arguments = value
            if self.program.wants_arguments:  # else nobody asked for them, and they could be anything
                for mine, theirs in zip((*first, *second.values()), arguments):
                    replace_content(mine, theirs)
            return value
        if kind == HANDLE:
            return Remote(self, value[0], value[1])
        if kind == MISSING:
            self.note("failed", f"the code defines no {value}")
            raise Missing
        name, text, known = value
        error = getattr(builtins, known, None)
        if not (isinstance(error, type) and issubclass(error, Exception)) or issubclass(error, UnicodeError):
            error = CandidateError
        if error is StopIteration and not self.program.expects_stop_iteration:
            error = CandidateError  # else it would end a loop of the tests' own: all(map(f, values)) would be true
        try:
            problem = error(text)
        except TypeError:  # one that is made of more than a text
            problem = CandidateError(text)
        problem.from_candidate = f"{label()} raised {name}" + (f": {text}" if text else "")
        raise problem

    def lower(self, value):
        """Arguments with marks in place of the candidate's objects and of built-in types."""
        if type(value) in PLAIN:
            return value
        if type(value) is Remote:
            self.lowered = True
            return HANDLE_MARK, value._ponder[1]
        if isinstance(value, type) and vars(builtins).get(value.__name__) is value:
            self.lowered = True
            return HANDLE_MARK, value.__name__
        if type(value) in (list, tuple, set, frozenset):
            return type(value)([self.lower(item) for item in value])
        if type(value) is dict:
            return {self.lower(k): self.lower(v) for k, v in value.items()}
        return value


def is_same_request(foreseen, request):
    return foreseen == request or marshal.loads(foreseen) == marshal.loads(request)  # sets have no order


def replace_content(mine, theirs):
    """What the candidate did to its copy of an argument happens to the tests' own."""
    if type(mine) is not type(theirs) or mine == theirs:
        return
    if type(mine) is list:
        mine[:] = theirs
    elif type(mine) in (dict, set):
        mine.clear()
        mine.update(theirs)


class Remote:
    """A function, class or object of the candidate's. It equals nothing but itself."""

    __slots__ = ("_ponder",)

    def __init__(self, conversation, target, name):
        object.__setattr__(self, "_ponder", (conversation, target, name))

    def __call__(self, *args, **kwargs):
        conversation, target, name = self._ponder
        return conversation.ask(CALL, target, args, kwargs, lambda: describe_call(name, args, kwargs))

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        conversation, target, mine = self._ponder
        value = conversation.ask(GET, target, name, None, lambda: f"{mine}.{name}")
        if type(value) is Remote:
            object.__setattr__(value, "_ponder", (conversation, value._ponder[1], f"{mine}.{name}"))
        return value

    def __setattr__(self, name, value):
        conversation, target, mine = self._ponder
        conversation.ask(SET, target, name, value, lambda: f"{mine}.{name} = ...")

    def __iter__(self):
        conversation, target, mine = self._ponder
        value = conversation.ask(ITERATE, target, None, None, lambda: f"iterating over {mine}")
        if type(value) is Remote:
            raise TypeError(f"{mine} holds values that are no plain data")
        return iter(value)

    def __bool__(self):
        conversation, target, mine = self._ponder
        return conversation.ask(TRUTH, target, None, None, lambda: f"the truth of {mine}") is True

    def __repr__(self):
        return f"<{self._ponder[2]}, no plain data>"


def describe_call(name, args, kwargs):
    return f"{name}({', '.join([show(a) for a in args] + [f'{k}={show(v)}' for k, v in kwargs.items()])})"
