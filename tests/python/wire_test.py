"""The wire format of python/ponder_verifier: bytes worked out by hand from the specification, and damaged messages."""
import random
import unittest

from ponder_verifier import Status, Task, Verdict, _wire


class WireTest(unittest.TestCase):
    # VerifyRequest{items {task {id: "a" gold: "7" difficulty: 0.5} completion: "so 7"}}
    REQUEST = bytes.fromhex("0a 17 0a 0f 0a0161 2a0137 39000000000000e03f 12 04 736f2037".replace(" ", ""))

    def test_reads_items_of_a_request(self) -> None:
        self.assertEqual(_wire.read_items(self.REQUEST), [(Task(id="a", gold="7", difficulty=0.5), "so 7")])
        self.assertEqual(_wire.read_items(b""), [])
        self.assertEqual(_wire.read_items(b"\x0a\x00"), [(Task(), "")])

    def test_passes_over_unknown_fields(self) -> None:
        unknown = bytes.fromhex("f801 05 fa01 02 0102 fd01 01020304".replace(" ", ""))
        self.assertEqual(_wire.read_items(unknown + self.REQUEST)[0][1], "so 7")

    def test_bytes_that_are_no_text_become_replacement_characters(self) -> None:
        self.assertEqual(_wire.read_items(b"\x0a\x03\x12\x01\xff")[0][1], "\ufffd")

    def test_writes_verdicts(self) -> None:
        # status 2, score 0.5, part {"f": 1}, extracted "x", reason "y", elapsed_us 300
        written = _wire.write_verdicts([(Verdict(Status.WRONG, 0.5, {"f": 1}, "x", "y"), 300)])
        self.assertEqual(written.hex(), "0a22" "0802" "11000000000000e03f" "1a0c" "0a0166" "11000000000000f03f"
                         "220178" "2a0179" "30ac02")

    def test_the_score_follows_the_status_where_none_is_given(self) -> None:
        self.assertEqual(_wire.write_verdicts([(Verdict(Status.CORRECT), 0)]).hex(), "0a0b0801" "11000000000000f03f")
        self.assertEqual(_wire.write_verdicts([(Verdict(Status.TIMEOUT), 0)]).hex(), "0a020806")

    def test_a_damaged_request_is_a_value_error_and_nothing_else(self) -> None:
        source = random.Random(1)
        refused = 0
        for _ in range(20000):
            data = bytearray(self.REQUEST * source.randint(1, 3))
            for _ in range(source.randint(1, 4)):
                data[source.randrange(len(data))] = source.randrange(256)
            try:
                _wire.read_items(bytes(data[: source.randint(0, len(data))]))
            except ValueError:
                refused += 1
        self.assertGreater(refused, 1000)


if __name__ == "__main__":
    unittest.main()
