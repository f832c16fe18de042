"""The candidate's side of a check, in a fresh fork of the zygote with every limit on.

The code under test runs in this process, so nothing here can be trusted afterwards, and nothing here is secret: no expected
value ever arrives. What goes out is checked byte by byte by the service.

Service -> candidate, after the 16 bytes of the nonce and the source (each with its length in front):
    u32 length | marshal((operation, target, name or arguments, keywords or value, wants_arguments, has_marks))
Candidate -> service:
    nonce | u32 number | u8 kind | u32 length | marshal, version 2
`number` is 0 for the loading and then counts the operations. Values are exact plain types; anything else stays here and is
named by a handle.
"""

import builtins
import marshal
import os
import sys
import threading
import time
import types
from collections import Counter, OrderedDict, defaultdict

CALL, GET, SET, ITERATE, TRUTH = 1, 2, 3, 4, 5
READY, SYNTAX, RAISED, VALUE, VALUE_AND_ARGUMENTS, HANDLE, MISSING = 1, 2, 3, 4, 5, 6, 7

MAX_MESSAGE = 300          # characters of an exception's text
FLUSH_AFTER_S = 0.002      # answers wait for one another no longer than this
HANDLE_MARK = Ellipsis     # (..., n) in arguments stands for object n, (..., "int") for that built-in type


class NotPlain(Exception):
    pass


def make_server():
    """A function (channel, nonce, source, operations) that loads the source as a module and answers operations on it, first
    those that were read already, until the service is gone; it never returns. Made once, before any candidate: what it uses
    are references of its own, and a fork has little left to do."""
    dumps, loads, read, write = marshal.dumps, marshal.loads, os.read, os.write
    clock, exit_now = time.monotonic, os._exit
    from_bytes, kind_of, size = int.from_bytes, type, len
    string, tuple_of, list_of, dict_of, bytes_of = str, tuple, list, dict, bytes
    get_attribute, set_attribute = getattr, setattr
    base_exception, value_error, any_exception = BaseException, ValueError, Exception
    builtin_names = frozenset(n for n, v in vars(builtins).items() if isinstance(v, type) and issubclass(v, BaseException))
    mro_of = type.__dict__["__mro__"].__get__
    name_of = type.__dict__["__name__"].__get__
    as_dict = {Counter, OrderedDict, defaultdict}
    plain = {int, float, complex, bool, str, bytes, kind_of(None)}
    sequences = {list, tuple, set, frozenset}
    built_in = dict(vars(builtins))
    compile_source, run, modules, memory_error = compile, exec, sys.modules, MemoryError
    objects = []
    waiting = []
    module = types.ModuleType("solution")
    names = module.__dict__
    modules["solution"] = module

    def to_plain(value, depth=0):
        """The value with the dictionaries of `collections` made plain ones; NotPlain names any other type."""
        kind = kind_of(value)
        if kind in plain:
            return value
        if depth > 100:
            raise NotPlain("deeply nested " + name_of(kind))
        if kind in sequences:
            return kind([to_plain(item, depth + 1) for item in value])
        if kind is dict_of or kind in as_dict:
            return {to_plain(k, depth + 1): to_plain(v, depth + 1) for k, v in dict_of.items(value)}
        raise NotPlain(name_of(kind))

    def encode(value):
        try:
            return VALUE, dumps(value, 2)
        except value_error:
            pass
        try:
            return VALUE, dumps(to_plain(value), 2)
        except (NotPlain, value_error) as problem:
            objects.append(value)
            inner = string(problem) if kind_of(problem) is NotPlain else "value"
            return HANDLE, dumps((size(objects) - 1, name_of(kind_of(value))[:MAX_MESSAGE], inner[:MAX_MESSAGE]), 2)

    def describe(error):
        kind = kind_of(error)
        try:
            text = string(error)
            text = text[:MAX_MESSAGE] if kind_of(text) is string else ""
        except base_exception:
            text = ""
        known = [name_of(k) for k in mro_of(kind) if name_of(k) in builtin_names]
        return dumps((name_of(kind)[:MAX_MESSAGE], text, known[0] if known else "Exception"), 2)

    def resolve(value):
        """Arguments with the objects that marks stand for."""
        kind = kind_of(value)
        if kind is tuple_of and size(value) == 2 and value[0] is HANDLE_MARK:
            return built_in[value[1]] if kind_of(value[1]) is string else objects[value[1]]
        if kind in sequences:
            return kind([resolve(item) for item in value])
        if kind is dict_of:
            return {resolve(k): resolve(v) for k, v in value.items()}
        return value

    def perform(operation, target, first, second, wants_arguments, has_marks):
        if kind_of(target) is string:
            if target not in names:
                return MISSING, dumps(target, 2)
            target = names[target]
        else:
            target = objects[target]
        if has_marks:
            first, second = resolve(first), resolve(second)
        if operation == CALL:
            kind, payload = encode(target(*first, **second))
            if wants_arguments and kind == VALUE:
                arguments = encode([*first, *second.values()])
                if arguments[0] == VALUE:
                    return VALUE_AND_ARGUMENTS, b"(\x02\x00\x00\x00" + payload + arguments[1]
            return kind, payload
        if operation == GET:
            return encode(get_attribute(target, first))
        if operation == SET:
            set_attribute(target, first, second)
            return encode(None)
        if operation == TRUTH:
            return encode(True if target else False)
        return encode(list_of(target))

    def send(nonce, number, kind, payload):
        waiting.append(nonce + number.to_bytes(4, "little") + bytes_of((kind,)) + size(payload).to_bytes(4, "little") + payload)

    def flush(channel):
        data = b"".join(waiting)
        waiting.clear()
        while data:
            data = data[write(channel, data):]

    def serve(channel, nonce, source, buffer):
        try:
            try:
                code = compile_source(source, "solution.py", "exec", dont_inherit=True)
            except memory_error:
                raise
            except any_exception as error:
                send(nonce, 0, SYNTAX, describe(error))
                flush(channel)
                exit_now(0)
            run(code, names)
            send(nonce, 0, READY, b"N")
        except base_exception as error:
            send(nonce, 0, RAISED, describe(error))
            flush(channel)
            exit_now(0)
        number = 0
        while True:
            flushed = clock()
            while size(buffer) >= 4 and size(buffer) >= 4 + from_bytes(buffer[:4], "little"):
                end = 4 + from_bytes(buffer[:4], "little")
                request, buffer = buffer[4:end], buffer[end:]
                number += 1
                try:
                    answer = perform(*loads(request))
                except base_exception as error:
                    answer = RAISED, describe(error)
                send(nonce, number, *answer)
                if clock() - flushed > FLUSH_AFTER_S:
                    flush(channel)
                    flushed = clock()
            if waiting:
                flush(channel)
            more = read(channel, 1 << 16)
            if not more:
                exit_now(0)
            buffer += more

    return serve


def report_loading(channel, nonce, kind, report):
    payload = marshal.dumps(report, 2)
    os.write(channel, nonce + bytes(4) + bytes((kind,)) + len(payload).to_bytes(4, "little") + payload)


def run_program(channel, nonce, source):
    """Runs `source` as a program whose standard input and output are set already. Never returns."""
    report, kind = None, READY
    try:
        code = compile(source, "solution.py", "exec", dont_inherit=True)
    except MemoryError:
        raise
    except Exception as error:
        report, kind = (type(error).__name__, str(error)[:MAX_MESSAGE], "SyntaxError"), SYNTAX
    report_loading(channel, nonce, kind, report)
    os.close(channel)
    if kind == SYNTAX:
        os._exit(0)
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = module
    sys.argv = ["solution.py"]
    try:
        exec(code, module.__dict__)
    except BaseException:
        pass  # what was printed until then is what counts
    threading._shutdown()
    sys.stdout.flush()
    os._exit(0)
