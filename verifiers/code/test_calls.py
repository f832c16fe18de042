"""A task's tests as calls in JSON: arguments and the results that are expected."""

import marshal
import math

from candidate import CALL
from conversation import Remote, show


class Calls:
    """Function calls with arguments and expected results from JSON. Tuples count as the lists that JSON has."""

    wants_arguments = False
    expects_stop_iteration = False
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
            conversation.begin_test(number)
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
    """Within 1e-9 of the larger: decimal notation in JSON loses the last digits. Nothing is near to infinity."""
    try:
        return math.isfinite(a) and math.isfinite(b) and abs(a - b) <= 1e-9 * max(abs(a), abs(b))
    except OverflowError:
        return False




def integers_of(value):
    """For json.loads: integers of many digits come as objects, since the service's own JSON has none (code_task.cc)."""
    return int(value["\0integer"]) if value.keys() == {"\0integer"} else value
