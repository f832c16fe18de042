"""Compares the token ids of `ponder tokenize` with those of Hugging Face `tokenizers`, line by line.

  python tests/reference/tokenizer_compare.py MODEL_DIR PONDER [--lines N] [--seed S] [--text FILE ...]

The lines are made here (code, emoji, combining marks, CJK, Arabic, runs of blanks, control characters, added tokens inside
text, random Unicode) and taken from the given text files. Each answer's ids are decoded again by both,
special tokens kept. Ends with 1 where anything differs.
"""

import argparse
import json
import random
import subprocess
import sys
import unicodedata

from tokenizers import Tokenizer

WORDS = """the of and to in is that for it as was with be by on not he I this are or his from at which but have an had they
you were their one all we can her has there been if more when will would who so no said what up its about than into them
don't I'll we've they're it's he'd I'M DON'T WE'VE ſ's K'K straße naïve façade résumé coöperate Łódź Ångström""".split()
SCRIPTS = {
    "cjk": (0x4E00, 0x9FFF), "kana": (0x3041, 0x30FF), "hangul": (0xAC00, 0xD7A3), "jamo": (0x1100, 0x11FF),
    "arabic": (0x600, 0x6FF), "hebrew": (0x590, 0x5FF), "devanagari": (0x900, 0x97F), "thai": (0xE00, 0xE7F),
    "tibetan": (0xF00, 0xFFF), "cyrillic": (0x400, 0x4FF), "greek": (0x370, 0x3FF), "latin": (0x80, 0x24F),
    "georgian": (0x10A0, 0x10FF), "ethiopic": (0x1200, 0x137F), "mongolian": (0x1800, 0x18AF),
    "symbols": (0x2000, 0x2BFF), "extension-h": (0x31350, 0x323AF), "extension-b": (0x20000, 0x2A6DF),
    "digits": (0x660, 0x669), "fullwidth": (0xFF00, 0xFFEF), "mathematical": (0x1D400, 0x1D7FF),
    "private": (0xE000, 0xE0FF), "tags": (0xE0000, 0xE007F), "hangul-compatibility": (0x3130, 0x318F),
}
EMOJI = ["👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "❤️", "🇩🇪", "1️⃣", "🫠", "😀", "👨🏿‍🚀", "🧑‍💻", "☺", "✈️"]
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\r", "\u00a0", "\u2003", "\u3000", "\u200b", "\u0085", "\u180e", "\u2028",
          "\x0b", "\x0c", "\x1c", "\u1680", "\u202f", "\ufeff"]
CODE = ["def f(x):\n    return x**2  # square\n", "for (int i=0;i<10;++i) { a[i] = b[i]*2; }", "if(x!=y){return\"z\";}",
        "SELECT * FROM t WHERE a>=1 AND b<>'x';", "\t\tif err != nil {\n\t\t\treturn err\n\t\t}\n", "<div class=\"a\">&nbsp;</div>",
        "x = {'a': [1, 2.5e-3, 0xFF], \"b\": None}", "\\frac{1}{2} \\boxed{42} $x_1^2$", "#include <vector>\n\n\n", "a->b::c<d>()...",
        "https://example.org/a?b=c&d=%20e#f", "user@example.com", "let y = |x: &'a str| -> u8 { 0 };"]


def random_code_point(rng):
    while True:
        c = rng.choice([rng.randrange(0x80), rng.randrange(0x800), rng.randrange(0x10000), rng.randrange(0x20000),
                        rng.randrange(0x110000)])
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def piece(rng, added):
    kind = rng.randrange(16)
    if kind < 3:
        return (" " if rng.random() < 0.8 else "") + rng.choice(WORDS)
    if kind == 3:
        return rng.choice(SPACES) * rng.choice([1, 1, 1, 2, 3, 7, 16, 40])
    if kind == 4:
        return "".join(rng.choice(SPACES) for _ in range(rng.randrange(1, 8)))
    if kind == 5:
        return rng.choice(EMOJI) * rng.choice([1, 1, 2])
    if kind == 6:
        return rng.choice(CODE)
    if kind == 7:
        low, high = SCRIPTS[rng.choice(list(SCRIPTS))]
        return "".join(chr(rng.randrange(low, high + 1)) for _ in range(rng.randrange(1, 12)))
    if kind == 8:
        base = rng.choice("aeioucnsgAEO가的α")
        return base + "".join(chr(rng.choice([rng.randrange(0x300, 0x370), rng.randrange(0x1AB0, 0x1AFF),
                                              0x3099, 0x309A, 0x5B0, 0x64B, 0x1DC0]))
                              for _ in range(rng.randrange(1, 5)))
    if kind == 9:
        return unicodedata.normalize(rng.choice(["NFD", "NFKD"]), rng.choice(["Ǻéñ", "각힣", "ệ", "Ω", "ﬁ"]))
    if kind == 10:
        return "".join(random_code_point(rng) for _ in range(rng.randrange(1, 10)))
    if kind == 11:
        return "".join(chr(rng.randrange(32)) for _ in range(rng.randrange(1, 5)))
    if kind == 12:
        return rng.choice(["", " "]) + str(rng.randrange(10 ** rng.randrange(1, 12)))
    if kind == 13:
        return "".join(rng.choice("!?.,;:-_'\"()[]{}<>/\\|@#$%^&*+=~`") for _ in range(rng.randrange(1, 8)))
    if kind == 14 and added:
        token = rng.choice(added)
        return rng.choice([token, token + token, token[:-1], token[1:], " " + token + " ", "a" + token + "b", "\n" + token])
    return rng.choice("abcXYZ ") * rng.choice([1, 2, 30, 300])


def make_lines(rng, count, added, files):
    lines = ["", " ", "\n", "a", "\u0000"]
    for path in files:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines += [line for line in file.read().split("\n") if line]
    rng.shuffle(lines)
    lines = lines[: count // 2]
    while len(lines) < count:
        lines.append("".join(piece(rng, added) for _ in range(rng.randrange(1, 10))))
    return lines


def run(command, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    done = subprocess.run(command, input=text.encode(), capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{command} failed: {done.stderr.decode()}")
    answers = [json.loads(line) for line in done.stdout.decode().split("\n") if line]
    if len(answers) != len(rows):
        sys.exit(f"{len(rows)} lines in, {len(answers)} out")
    return answers


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("ponder", help="path of the program")
    parser.add_argument("--lines", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--text", nargs="*", default=[], help="files to take lines from")
    parser.add_argument("--show", type=int, default=5)
    parser.add_argument("--transformers", action="store_true", help="compare with AutoTokenizer in place of tokenizers")
    args = parser.parse_args()

    if args.transformers:
        from transformers import AutoTokenizer
        reference = AutoTokenizer.from_pretrained(args.model)
        encode = lambda text: reference.encode(text, add_special_tokens=False)
        decode = lambda ids: reference.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        added = list(reference.get_added_vocab())
    else:
        reference = Tokenizer.from_file(args.model + "/tokenizer.json")
        encode = lambda text: reference.encode(text, add_special_tokens=False).ids
        decode = lambda ids: reference.decode(ids, skip_special_tokens=False)
        added = [token.content for token in reference.get_added_tokens_decoder().values()]

    rng = random.Random(args.seed)
    lines = make_lines(rng, args.lines, sorted(added), args.text)
    ids = [encode(line) for line in lines]
    base = [args.ponder, "tokenize", "--model", args.model]
    wrong = 0
    for line, want, answer in zip(lines, ids, run(base, [{"text": line} for line in lines])):
        if answer["ids"] != want:
            wrong += 1
            if wrong <= args.show:
                print(f"text {line!r}\n  expected {want}\n  found    {answer['ids']}")

    # Cut off at random places too, so that incomplete characters are decoded.
    cuts = [row[rng.randrange(len(row)):] if row and rng.random() < 0.5 else row for row in ids]
    wrong_texts = 0
    for row, answer in zip(cuts, run(base + ["--decode", "--keep-special"], [{"ids": row} for row in cuts])):
        want = decode(row)
        if answer["text"] != want:
            wrong_texts += 1
            if wrong_texts <= args.show:
                print(f"ids {row}\n  expected {want!r}\n  found    {answer['text']!r}")
    print(json.dumps({"model": args.model, "lines": len(lines), "characters": sum(map(len, lines)),
                      "tokens": sum(map(len, ids)), "different_ids": wrong, "different_texts": wrong_texts}))
    sys.exit(1 if wrong or wrong_texts else 0)


if __name__ == "__main__":
    main()
