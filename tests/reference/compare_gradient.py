#!/usr/bin/env python3
"""Compares the norm of the gradient of a run's first step with that of `transformers` and PyTorch in fp32.

    python tests/reference/compare_gradient.py --ponder build/release/ponder RUN

The run has no cold start, no weight of KL, "token_mean" and one update a step, and ran on one machine: then the first step's
samples come from the model it began with, each ratio is 1, and the loss is the mean over the step's tokens of -A log p. Exit 1
where the norms differ by more than a limit. Needs torch and transformers, and 12 bytes a parameter of memory.
"""

import argparse
import csv
import io
import json
import subprocess
import sys
import tomllib

import torch
import transformers

MOST = {"f32": 1e-3, "bf16": 0.03}  # of the norm: what inputs rounded to the type come to


def said(ponder, *arguments):
    return subprocess.run([ponder, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def require(condition, message):
    if not condition:
        sys.exit(message)


def check_settings(config):
    learner = config["learner"]
    require(config["sft"]["examples"] == 0, "expected a run without a cold start (sft.examples = 0)")
    for key, expected in {"aggregation": "token_mean", "kl_weight": 0, "importance_cap": 0, "updates_per_step": 1}.items():
        require(learner[key] == expected, f"expected learner.{key} = {expected}, found {learner[key]}")


def first_metrics(ponder, run):
    rows = csv.DictReader(io.StringIO(said(ponder, "runs", "export", run, "--format", "csv")))
    return next(row for row in rows if row["phase"] == "train" and row["step"] == "1")


def gradient_norm(model, samples, tokens):
    for sample in samples:
        prompt, answer = sample["prompt_ids"], torch.tensor(sample["token_ids"])
        logits = model(torch.tensor([prompt + sample["token_ids"]])).logits[0, len(prompt) - 1:-1]
        logprobs = torch.log_softmax(logits / sample["temperature"], -1).gather(1, answer[:, None])
        (-sample["advantage"] * logprobs.sum() / tokens).backward()
    return sum(float(p.grad.double().square().sum()) for p in model.parameters() if p.grad is not None) ** 0.5


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ponder", required=True, help="the program")
    parser.add_argument("run", help="a run's folder")
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    with open(f"{options.run}/config.toml", "rb") as file:
        config = tomllib.load(file)
    check_settings(config)
    found = float(first_metrics(options.ponder, options.run)["optimizer/gradient_norm"])
    lines = said(options.ponder, "inspect", options.run, "--step", "1", "--best", "--count", "1048576", "--json").splitlines()
    samples = [json.loads(line) for line in lines]
    tokens = sum(len(sample["token_ids"]) for sample in samples)
    model = transformers.AutoModelForCausalLM.from_pretrained(config["model"]["directory"], dtype=torch.float32)
    expected = gradient_norm(model, [sample for sample in samples if sample["advantage"] != 0], tokens)
    difference = abs(found / expected - 1)
    dtype = config["model"]["dtype"]
    good = difference <= MOST[dtype]
    print(f"{options.run}: {len(samples)} samples, {tokens} tokens; norm {expected:.5g} in PyTorch, {found:.5g} here in {dtype}: "
          f"{100 * difference:.2f} % apart{'' if good else '  TOO FAR'}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
