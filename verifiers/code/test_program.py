"""A task's tests as Python source: which names in them are the candidate's, and which calls are sure to come."""

import ast
import builtins
import marshal

from candidate import CALL
from conversation import Broken, Remote

# Tests that import and call no more than this leave nothing behind; others run in a fork.
HARMLESS_MODULES = {"math", "cmath", "copy", "string", "itertools", "functools", "collections", "operator", "re", "typing",
                    "fractions", "decimal", "datetime", "heapq", "bisect", "statistics", "random"}
HARMFUL_NAMES = {"exec", "eval", "compile", "open", "__import__", "globals", "locals", "vars", "setattr", "delattr", "input",
                 "breakpoint", "exit", "quit", "__builtins__"}
HARMFUL_METHODS = {"seed", "setstate", "setcontext", "modules", "register"}

RUN_TEXT = {"eval", "exec", "compile"}


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


def runs_unknown_text(tree):
    """Whether the tests run a text that is no constant: it could come from the candidate, and would run among the tests."""
    return any(isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RUN_TEXT and
               not (node.args and isinstance(node.args[0], ast.Constant)) for node in ast.walk(tree))


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
        if runs_unknown_text(whole):
            raise Broken("the tests run a text that could be the answer's own (eval, exec, compile)")
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
        self.expects_stop_iteration = "StopIteration" in read
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
        names["__ponder_test__"] = conversation.begin_test
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
