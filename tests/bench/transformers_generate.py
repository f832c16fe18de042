#!/usr/bin/env python3
"""transformers_generate.py DIR BATCH PROMPT NEW: tokens a second of `generate` with sampling and
scores kept, the peer of `ponder bench rollout`, and this card's limits as PyTorch reaches them."""
import sys
import time

import torch
from transformers import AutoModelForCausalLM


def timed(work):
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def limits():
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    source, target = (torch.empty(1 << 32, device="cuda", dtype=torch.uint8) for _ in range(2))
    a @ b
    target.copy_(source)
    product = min(timed(lambda: [a @ b for _ in range(10)]) / 10 for _ in range(3))
    copy = min(timed(lambda: target.copy_(source)) for _ in range(3))
    print(f"limits: bf16 products {2 * 8192**3 / product * 1e-12:.0f} TFLOP/s, "
          f"memory {2 * (1 << 32) / copy * 1e-12:.2f} TB/s (read and written)")


def main():
    directory, batch, prompt, new = sys.argv[1], *map(int, sys.argv[2:5])
    limits()
    torch.cuda.empty_cache()
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16).cuda().eval()
    ids = torch.randint(0, model.config.vocab_size, (batch, prompt), device="cuda")
    rates = []
    for repeat in range(3):
        with torch.inference_mode():
            seconds = timed(lambda: model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=True,
                                                   temperature=1.0, top_k=0, max_new_tokens=new,
                                                   min_new_tokens=new, pad_token_id=0))
        if repeat > 0:
            rates.append(batch * new / seconds)
    print(f"transformers generate B={batch}: {min(rates):.0f}-{max(rates):.0f} tokens/s")


if __name__ == "__main__":
    main()
