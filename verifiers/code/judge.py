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
    u8 2 | JSON                {"outcome", "test", "tests", "reason"}: what became of the tests
"""

import ast
import builtins
import ctypes
import gc
import json
import marshal
import os
import reprlib
import resource
import sys
from collections import OrderedDict

from candidate import (CALL, GET, HANDLE, HANDLE_MARK, ITERATE, MISSING, RAISED, SET, TRUTH, VALUE,
                       VALUE_AND_ARGUMENTS)

CHANNEL = 3
TASK, ANSWER, GONE = 1, 2, 3
OPERATION, OUTCOME = 1, 2
RESOURCES = {resource.RLIMIT_AS: 2 << 30, resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: 32, resource.RLIMIT_FSIZE: 0,
             resource.RLIMIT_NPROC: 8}
MAX_REASON = 600    # characters
KEPT_PROGRAMS = 256  # compiled tests, for the many completions of one task

# Tests that import and call no more than this leave nothing behind; others run in a fork.
HARMLESS_MODULES = {"math", "cmath", "copy", "string", "itertools", "functools", "collections", "operator", "re", "typing",
                    "fractions", "decimal", "datetime", "heapq", "bisect", "statistics", "random"}
HARMFUL_NAMES = {"exec", "eval", "compile", "open", "__import__", "globals", "locals", "vars", "setattr", "delattr", "input",
                 "breakpoint", "exit", "quit", "__builtins__"}
HARMFUL_METHODS = {"seed", "setstate", "setcontext", "modules", "register"}

PLAIN = {int, float, complex, bool, str, bytes, type(None)}

short = reprlib.Repr()
short.maxstring = short.maxother = short.maxlong = 120
short.maxlist = short.maxtuple = short.maxdict = short.maxset = 12


class CandidateError(Exception):
    """What the candidate raised, where it is no built-in exception."""


class Missing(Exception):
    """The candidate does not define a name that the tests use."""


class Gone(BaseException):
    """The candidate has ended; no answer will come."""


class Broken(Exception):
    """The tests themselves are at fault."""


def show(value):
    try:
        return short.repr(value)
    except Exception:  # e.g. a number of too many digits
        return "a " + type(value).__name__


class Service:
    """The conversation with the service, and through it with the candidate."""

    def __init__(self):
        self.buffer = bytearray()

    def read_frame(self):
        while len(self.buffer) < 4 or len(self.buffer) < 4 + int.from_bytes(self.buffer[:4], "little"):
            more = os.read(CHANNEL, 1 << 16)
            if not more:
                os._exit(0)
            self.buffer += more
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
            raise Broken("the tests pass a value that is no plain data: " + label()) from None
        if self.foreseen and is_same_request(self.foreseen[0], request):
            self.foreseen.pop(0)
            frame = self.early.pop(0) if self.early else self.read_answer()
        else:  # answers come in order, so those that were foreseen come first
            self.service.write_frames([bytes((OPERATION,)) + request])
            while len(self.early) < len(self.foreseen):
                self.early.append(self.read_answer())
            frame = self.read_answer()
        self.answered += 1
        value = self.take(frame[1], marshal.loads(frame[2:]), first, label)
        self.last = lambda: f"{label()} gave {show(value)}"
        return value

    def read_answer(self):
        frame = self.service.read_frame()
        if frame[0] == GONE:
            self.gone = True
            raise Gone
        return frame

    def take(self, kind, value, first, label):
        if kind == VALUE:
            return value
        if kind == VALUE_AND_ARGUMENTS:
            value, arguments = value
            for mine, theirs in zip(first, arguments):
                replace_content(mine, theirs)
            return value
        if kind == HANDLE:
            return Remote(self, value[0], value[1])
        if kind == MISSING:
            raise Missing(value)
        name, text, known = value
        error = getattr(builtins, known, None)
        if not (isinstance(error, type) and issubclass(error, Exception)) or issubclass(error, UnicodeError):
            error = CandidateError
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


class Mark(ast.NodeTransformer):
    """Puts a call that notes the test's number before every assertion."""

    def __init__(self):
        self.asserts = []

    def visit_Assert(self, node):
        self.asserts.append(node)
        call = ast.Call(ast.Name("__ponder_test__", ast.Load()), [ast.Constant(len(self.asserts))], [])
        return [ast.copy_location(ast.Expr(call), node), node]


def names_of(tree):
    """The names that the source reads and those that it binds itself."""
    read, bound = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            bound.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return read, bound


def leaves_nothing_behind(tree):
    for node in ast.walk(tree):
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            return False
        if isinstance(node, ast.Import) and not all(alias.name in HARMLESS_MODULES for alias in node.names):
            return False
        if isinstance(node, ast.ImportFrom) and node.module not in HARMLESS_MODULES:
            return False
        if isinstance(node, ast.Name) and node.id in HARMFUL_NAMES:
            return False
        if isinstance(node, ast.Attribute) and (not isinstance(node.ctx, ast.Load) or node.attr.startswith("__") or
                                                node.attr in HARMFUL_METHODS):
            return False
    return True


def parse(source, what):
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Broken(f"{what} cannot be parsed: {error}") from None


def variable_arguments(tree, functions):
    """Whether a call of a candidate's function gets anything but constants: a change of it could be seen afterwards."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions:
            for argument in [*node.args, *[keyword.value for keyword in node.keywords]]:
                if isinstance(argument, (ast.Name, ast.Attribute, ast.Subscript, ast.Starred)):
                    return True
    return False


def constant_calls(statements, functions):
    """The calls of candidate's functions on constants that straight-line asserts make, in order, up to the first other one."""
    calls = []
    for statement in statements:
        if not isinstance(statement, ast.Assert):
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue
            break
        found = [node for node in ast.walk(statement) if isinstance(node, ast.Name) and node.id in functions]
        if not found:
            continue
        made = [node for node in ast.walk(statement.test) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and
                node.func.id in functions]
        if len(made) != 1 or len(found) != 1 or made[0].keywords or lazy(statement):
            break
        try:
            calls.append((made[0].func.id, tuple(ast.literal_eval(argument) for argument in made[0].args)))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            break
    return calls


def lazy(statement):
    return any(isinstance(node, (ast.BoolOp, ast.IfExp, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)) or
               isinstance(node, ast.Compare) and len(node.ops) > 1 for node in ast.walk(statement))


class Program:
    """A task's tests, ready to run."""

    def __init__(self, spec):
        setup = parse(spec.get("setup", ""), "the code that stands before the tests")
        # Trusted definitions of the prompt; the function asked for is in it without a body.
        prompt = parse_prompt(spec.get("prompt", ""))
        tests = [parse(source, f"test {number}") for number, source in enumerate(spec["tests"], 1)]
        entry_point = spec.get("entry_point", "")
        mark = Mark()
        body = []
        for tree in tests:
            mark.visit(tree)
            body += tree.body
        self.asserts = mark.asserts
        self.tests = len(mark.asserts)
        if self.tests == 0:
            raise Broken("the tests assert nothing")
        whole = ast.Module(setup.body + body, [])
        read, bound = names_of(whole)
        bound |= names_of(prompt)[1]
        if entry_point:
            bound.add("candidate")
        read.discard("__ponder_test__")
        self.stubs = {name for name in read - bound if not hasattr(builtins, name)}
        if entry_point:
            self.stubs.add(entry_point)
        elif not self.stubs:
            # Only where the tests call nothing else does a built-in's name mean the candidate's function.
            self.stubs = outermost_calls(body) - bound
        if not self.stubs:
            raise Broken("the tests call no function of the answer's")
        self.entry_point = entry_point
        self.calls_check = "check" in bound and entry_point != ""
        functions = self.stubs | ({"candidate"} if entry_point else set())
        self.wants_arguments = variable_arguments(whole, functions)
        self.harmless = leaves_nothing_behind(whole) and leaves_nothing_behind(prompt)
        self.prompt = compile(prompt, "prompt", "exec", dont_inherit=True)
        self.code = compile(ast.fix_missing_locations(whole), "tests", "exec", dont_inherit=True)
        self.foreseen = []
        if self.harmless and not self.wants_arguments and not setup.body:
            self.foreseen = [marshal.dumps((CALL, entry_point if name == "candidate" else name, arguments, {}, False, False), 2)
                             for name, arguments in self.foreseeable(body, functions)]

    def source_of(self, test):
        return ast.unparse(self.asserts[test - 1])[:200]

    def foreseeable(self, body, functions):
        if not self.calls_check:
            return constant_calls([s for s in body if not is_mark(s)], functions)
        for statement in body:
            if isinstance(statement, ast.FunctionDef) and statement.name == "check":
                return constant_calls([s for s in statement.body if not is_mark(s)], functions)
        return []

    def run(self, conversation):
        names = {"__name__": "tests", "__builtins__": builtins}
        exec(self.prompt, names)
        for name in self.stubs:
            names[name] = Remote(conversation, name, name)
        if self.entry_point:
            names["candidate"] = names[self.entry_point]

        def note(number):
            conversation.test = number

        names["__ponder_test__"] = note
        conversation.start()
        exec(self.code, names)
        if self.calls_check:
            names["check"](names[self.entry_point])


def is_mark(statement):
    return (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call) and
            isinstance(statement.value.func, ast.Name) and statement.value.func.id == "__ponder_test__")


def outermost_calls(statements):
    """The functions that the left sides of the asserts call."""
    names = set()
    for statement in statements:
        if isinstance(statement, ast.Assert):
            side = statement.test.left if isinstance(statement.test, ast.Compare) else statement.test
            if isinstance(side, ast.Call) and isinstance(side.func, ast.Name):
                names.add(side.func.id)
    return names


def parse_prompt(prompt):
    for source in (prompt, prompt + "\n    pass\n"):
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return ast.Module([], [])  # a prompt in words


class Calls:
    """Function calls with arguments and expected results from JSON. Tuples count as the lists that JSON has."""

    wants_arguments = False
    harmless = True

    def __init__(self, spec):
        self.calls = spec["calls"]
        self.tests = len(self.calls)
        self.name = spec["entry_point"]
        self.foreseen = [marshal.dumps((CALL, self.name, tuple(call["args"]), call["kwargs"], False, False), 2)
                         for call in self.calls]

    def run(self, conversation):
        conversation.start()
        function = Remote(conversation, self.name, self.name)
        for number, call in enumerate(self.calls, 1):
            conversation.test = number
            value = function(*call["args"], **call["kwargs"])
            if not same_json(value, call["expected"]):
                raise AssertionError

    def source_of(self, test):
        return f"the comparison with {show(self.calls[test - 1]['expected'])}"


def same_json(value, expected):
    """Equality of exact kinds; numbers by value, so 2 equals 2.0 but True is no number."""
    if type(value) is tuple:
        value = list(value)
    if isinstance(value, bool) or isinstance(expected, bool):
        return value is expected
    if isinstance(value, (int, float)) and isinstance(expected, (int, float)):
        return value == expected or (isinstance(value, float) or isinstance(expected, float)) and nearly(value, expected)
    if type(value) is not type(expected):
        return False
    if type(value) is list:
        return len(value) == len(expected) and all(map(same_json, value, expected))
    if type(value) is dict:
        return value.keys() == expected.keys() and all(same_json(value[key], expected[key]) for key in value)
    return value == expected


def nearly(a, b):
    """Within 1e-9 of the larger: decimal notation in JSON loses the last digits."""
    try:
        return abs(a - b) <= 1e-9 * max(abs(a), abs(b))
    except OverflowError:
        return False


class Judge:
    def __init__(self):
        self.service = Service()
        self.programs = OrderedDict()

    def program(self, text):
        """The compiled tests, or why they cannot be."""
        if text in self.programs:
            self.programs.move_to_end(text)
            return self.programs[text]
        try:
            spec = json.loads(text)
            program = Calls(spec) if "calls" in spec else Program(spec)
        except Broken as problem:
            program = problem
        except (RecursionError, MemoryError, ValueError, TypeError) as problem:
            program = Broken(f"the tests cannot be read: {type(problem).__name__}: {problem}")
        self.programs[text] = program
        if len(self.programs) > KEPT_PROGRAMS:
            self.programs.popitem(last=False)
        return program

    def serve(self):
        while True:
            frame = self.service.read_frame()
            if frame[0] != TASK:
                continue  # answers that came after the tests had seen enough
            program = self.program(frame[1:])
            if isinstance(program, Broken):
                self.report({"outcome": "broken", "test": 0, "tests": 0, "reason": str(program)})
            elif program.harmless:
                self.report(self.run(program))
            else:
                child = os.fork()
                if child == 0:
                    self.report(self.run(program))
                    os._exit(0)
                os.waitpid(child, 0)

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
        except Gone:
            outcome, reason = "gone", conversation.last()
        except Missing as problem:
            outcome, reason = "failed", f"the code defines no {problem}"
        except Broken as problem:
            outcome, reason = "broken", str(problem)
        except BaseException as problem:  # SystemExit in tests, too
            outcome, reason = self.explain(program, conversation, problem)
        return {"outcome": outcome, "test": conversation.test, "tests": program.tests, "reason": reason[:MAX_REASON]}

    def explain(self, program, conversation, problem):
        if conversation.gone:
            return "gone", conversation.last()
        told = getattr(problem, "from_candidate", None)
        if told is not None:
            return "failed", told
        if conversation.answered == 0:
            return "broken", f"the tests raise {type(problem).__name__}: {problem}"
        after = f"after {conversation.last()}"
        if isinstance(problem, AssertionError):
            return "failed", f"{program.source_of(conversation.test)} fails {after}"
        return "failed", f"the test raises {type(problem).__name__}: {problem} {after}"


def main():
    for kind, value in RESOURCES.items():
        resource.setrlimit(kind, (value, value))
    if ctypes.CDLL("/ponder/native.so").PonderConfine() != 0:
        os._exit(1)
    sys.set_int_max_str_digits(0)
    gc.collect()
    gc.freeze()
    judge = Judge()
    judge.service.write_frames([b"ready"])
    judge.serve()


if __name__ == "__main__":
    main()
