#!/usr/bin/env python3
"""Compares `ponder` with `transformers` on the same weights: log-probs in fp32 and bf16, greedy tokens in fp32.

    python tests/reference/compare_transformers.py --ponder build/release/ponder MODEL_DIR [MODEL_DIR ...]

A directory without tokenizer.json (a small random model, say) is scored on random ids and generates nothing. Exit 1 where a
limit is passed. Needs torch and transformers.
"""

import argparse
import json
import os
import random
import subprocess
import sys

import torch
import transformers

F32_MAX = 1e-4    # largest difference of any fp32 log-prob
BF16_MEAN = 0.02  # mean absolute difference of bf16 log-probs; where transformers' own bf16 is further off, that

PARAGRAPHS = [
    """The lighthouse stood at the end of a narrow spit of land, where the river met the sea. For sixty years its keeper had
climbed the same two hundred steps each evening, trimmed the wick, and written the weather into a book that nobody read. When
the lamp was made electric, he was told that he could go home. He stayed, because he said that a light without a person behind
it was only a bulb.""",
    """To find the area of a triangle with sides 13, 14 and 15, use Heron's formula. The semiperimeter is s = (13 + 14 + 15) / 2
= 21. Then the area is sqrt(21 * (21 - 13) * (21 - 14) * (21 - 15)) = sqrt(21 * 8 * 7 * 6) = sqrt(7056) = 84. So the area is 84
square units.""",
    """def merge(left, right):
    result = []
    while left and right:
        result.append(left.pop(0) if left[0] <= right[0] else right.pop(0))
    return result + left + right

assert merge([1, 4, 9], [2, 3, 10]) == [1, 2, 3, 4, 9, 10]
""",
    """Photosynthesis turns light into chemical energy. In the chloroplasts, chlorophyll absorbs mostly red and blue light; water
is split, oxygen is set free, and the energy is kept in ATP and NADPH. The Calvin cycle then uses both to build sugars from
carbon dioxide. Plants, algae and cyanobacteria all do this, and almost every food chain on Earth begins here.""",
]

PROMPTS = [
    "The capital of France is", "Water boils at a temperature of", "Once upon a time, in a small village,",
    "def fibonacci(n):\n", "The three primary colours are", "To bake a loaf of bread, first",
    "Q: What is 7 times 8?\nA:", "The largest planet in the solar system is", "In 1969, the first human",
    "A haiku about rain:\n", "The opposite of hot is", "List of fruits:\n1. Apple\n2.", "Dear Sir or Madam,\n",
    "The speed of light is about", "import numpy as np\n", "My favourite season is", "The mitochondria is",
    "If it rains tomorrow, then", "Shakespeare wrote", "The recipe calls for two cups of",
]


def run_ponder(ponder, command, model, dtype, items, *more):
    arguments = [ponder, command, "--model", model, "--dtype", dtype, *more]
    lines = "".join(json.dumps(item) + "\n" for item in items)
    done = subprocess.run(arguments, input=lines, capture_output=True, text=True, timeout=3600)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)} failed with {done.returncode}:\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]


def load(directory, dtype):
    return transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=dtype, attn_implementation="eager").eval()


def reference_logprobs(model, ids):
    with torch.no_grad():
        scores = torch.log_softmax(model(torch.tensor([ids])).logits[0, :-1].double(), -1)
        return scores.gather(1, torch.tensor(ids[1:])[:, None]).squeeze(1)


def reference_greedy(model, ids, count, stops):
    past, answer, step = None, [], torch.tensor([ids])
    for _ in range(count):
        with torch.no_grad():
            out = model(step, past_key_values=past, use_cache=True)
        past, token = out.past_key_values, int(out.logits[0, -1].argmax())
        answer.append(token)
        if token in stops:
            break
        step = torch.tensor([[token]])
    return answer


def stop_ids(model):
    stops = model.generation_config.eos_token_id
    return set(stops if isinstance(stops, list) else [] if stops is None else [stops])


def own_bf16_error(directory, sequences, expected):
    model = load(directory, torch.bfloat16)
    found = torch.cat([reference_logprobs(model, ids) for ids in sequences])
    return float((found - torch.cat(expected)).abs().mean())


def score(ponder, directory, model, sequences):
    expected = [reference_logprobs(model, ids) for ids in sequences]
    passed = True
    own_error = own_bf16_error(directory, sequences, expected)
    for dtype in ("f32", "bf16"):
        rows = run_ponder(ponder, "score", directory, dtype, [{"ids": ids} for ids in sequences])
        found = [torch.tensor(row["logprobs"], dtype=torch.float64) for row in rows]
        if [len(f) for f in found] != [len(e) for e in expected]:
            sys.exit(f"{directory}: {dtype} gave {[len(f) for f in found]} log-probs, expected {[len(e) for e in expected]}")
        difference = (torch.cat(found) - torch.cat(expected)).abs()
        good = difference.max() <= F32_MAX if dtype == "f32" else difference.mean() <= max(BF16_MEAN, own_error)
        passed = passed and bool(good)
        print(f"{directory}: {dtype:4} {len(difference)} log-probs, largest difference {difference.max():.2e}, "
              f"mean {difference.mean():.2e}{'' if good else '  TOO FAR'}", flush=True)
    print(f"{directory}: transformers' own bf16 is off by a mean of {own_error:.2e}", flush=True)
    return passed


def greedy(ponder, directory, model, tokenizer, count):
    items = [{"id": str(i), "prompt": prompt} for i, prompt in enumerate(PROMPTS)]
    rows = run_ponder(ponder, "generate", directory, "f32", items, "--temperature", "0", "--max-new-tokens", str(count))
    found = {row["id"]: row["token_ids"] for row in rows}
    stops = stop_ids(model)
    equal = 0
    for item in items:
        ids = tokenizer(item["prompt"], add_special_tokens=False)["input_ids"]
        expected = reference_greedy(model, ids, count, stops)
        if found.get(item["id"]) == expected:
            equal += 1
        else:
            print(f"  {item['prompt']!r}: expected {expected}, found {found.get(item['id'])}")
    print(f"{directory}: greedy tokens equal for {equal} of {len(items)} prompts", flush=True)
    return equal == len(items)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ponder", required=True, help="the program")
    parser.add_argument("--max-new-tokens", type=int, default=32)
    parser.add_argument("models", nargs="+", help="Hugging Face directories")
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    passed = True
    for directory in options.models:
        model = load(directory, torch.float32)
        tokenizer = None
        if os.path.exists(os.path.join(directory, "tokenizer.json")):
            tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
            sequences = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in PARAGRAPHS]
        else:
            draw = random.Random(0)
            longest = min(400, model.config.max_position_embeddings)
            sequences = [[draw.randrange(model.config.vocab_size) for _ in range(length)] for length in (2, 17, 100, longest)]
        passed = score(options.ponder, directory, model, sequences) and passed
        if tokenizer is not None:
            passed = greedy(options.ponder, directory, model, tokenizer, options.max_new_tokens) and passed
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
