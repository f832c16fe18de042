"""Trains tiny tokenizers with Hugging Face `tokenizers` and records what they make of some lines: the golden values of
tests/model/tokenizer_test.cc.

  python tests/reference/tokenizer_golden.py OUTPUT_DIR
"""

import json
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

CORPUS = ["the cat and the other cat sat on the mat, then they went there again and again",
          "def add(a, b):\n    return a + b\n\n\nfor i in range(100):\n        print(add(i, 100))\n",
          "don't we'll they've it's I'm he'd we're DON'T", "1234567890 100 200 3.14159 2024",
          "naïve café résumé über straße 东京 日本語 中文 привет мир", "        \t\t\n\n\n    "] * 4
QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)"
        r"|\s+")
LLAMA = QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
LINES = [
    "", " ", "the cat sat there", " the  cat   sat    there     ", "Don't WE'LL it'S they'vE ſ'ſ",
    "x\n\n\n y\r\n\r\nz\t\t\tw \n ", "1234567 and 3.14159, ٣٤٥ ½ Ⅷ 10²", "def add(a, b):\n        return a+b  # the sum\n",
    "!!!???... --- <=> ::: '''", "naïve nai\u0308ve cafe\u0301 ệ e\u0323\u0302", "東京 日本語テスト 中文",
    "مرحبا بالعالم שלום नमस्ते", "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪 1️⃣",
    "\u0000\u0001\u001f\u007f\u0085\u00a0\u180e\u2003\u2028\u200b\ufeffa", "가각힣 \u1112\u1161\u11ab", "ÅΩK ﬁ ǅ",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>", "a<|im_end|><|im_end|>b <|im_end|", "  <mask>  <r>  x <lr>  y",
    "word words sword a-word word", "é! e\u0301! e\u0301? é?", "<< <<<x <<<<x", "Ġodd odd",
    "\U00031350\U0001e4d0\U00011f02 \U000116d0\U00011de0#", "a" * 50, "\ufffd\U0010ffff\ue000",
]


def byte_level(**options):
    return pre_tokenizers.ByteLevel(**{"add_prefix_space": False, "use_regex": False, **options})


def split(pattern, behavior="isolated", **options):
    return pre_tokenizers.Split(Regex(pattern), behavior, **options)


def special(*contents):
    return [AddedToken(content, special=True, normalized=False) for content in contents]


ODD = [AddedToken("<r>", rstrip=True, normalized=False), AddedToken("word", single_word=True, normalized=False),
       AddedToken("é!"), AddedToken("e\u0301?"), AddedToken("<lr>", lstrip=True, rstrip=True),
       AddedToken("  ", normalized=False), AddedToken("<<", normalized=False), AddedToken("<<<x", normalized=False),
       AddedToken("Ġodd", normalized=False)]
KINDS = {
    "gpt2": (None, byte_level(use_regex=True), special("<|endoftext|>")),
    "smollm2": (None, pre_tokenizers.Sequence([pre_tokenizers.Digits(True), byte_level(use_regex=True)]),
                special("<|im_start|>", "<|im_end|>")),
    "qwen2": (normalizers.NFC(), pre_tokenizers.Sequence([split(QWEN), byte_level()]),
              special("<|im_start|>", "<|im_end|>") + [AddedToken("<think>", normalized=False)]),
    "llama3": (None, pre_tokenizers.Sequence([split(LLAMA), byte_level()]), special("<|begin_of_text|>", "<|im_end|>")),
    "odd": (normalizers.Sequence([normalizers.NFC()]),
            pre_tokenizers.Sequence([split(r"[^\s]+|\s+(?=\S)", "removed", invert=True),
                                     pre_tokenizers.Split(" ", "merged_with_next"),
                                     split(r"[\p{P}]", "merged_with_previous"), split(r"\w+", "contiguous"),
                                     pre_tokenizers.Digits(False), byte_level(add_prefix_space=True)]),
            special("<|im_end|>") + [AddedToken("<mask>", lstrip=True, special=True, normalized=False)] + ODD),
}


def main():
    for name, (normalizer, pre_tokenizer, added) in KINDS.items():
        tokenizer = Tokenizer(models.BPE(ignore_merges=name == "llama3"))
        if normalizer:
            tokenizer.normalizer = normalizer
        tokenizer.pre_tokenizer = pre_tokenizer
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(
            vocab_size=330, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
        tokenizer.add_tokens([token for token in added if not token.special])
        tokenizer.add_special_tokens([token for token in added if token.special])
        content = json.loads(tokenizer.to_str())
        if name in ("gpt2", "smollm2"):  # the older form of the merges
            content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
        if name == "llama3":  # a token that no merge makes: only ignore_merges finds it
            size = len(content["model"]["vocab"])
            content["added_tokens"] = [{**token, "id": token["id"] + 1} for token in content["added_tokens"]]
            content["model"]["vocab"][byte_level().pre_tokenize_str(" straße")[0][0]] = size
        tokenizer = Tokenizer.from_str(json.dumps(content))
        lines = LINES + ["straße straße"]
        ids = [tokenizer.encode(line).ids for line in lines]
        cases = [{"text": line, "ids": row, "decoded": tokenizer.decode(row, skip_special_tokens=False),
                  "without_special": tokenizer.decode(row[1:])} for line, row in zip(lines, ids)]
        with open(f"{sys.argv[1]}/tiny_{name}.json", "w", encoding="utf-8") as file:
            json.dump({"tokenizer": content, "cases": cases}, file, separators=(",", ":"))
            file.write("\n")


if __name__ == "__main__":
    main()
