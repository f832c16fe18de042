#!/usr/bin/env python3
"""transformers_step.py DIR PROMPTS COMPLETIONS PROMPT NEW MICRO_BATCH: seconds of a GRPO step in plain PyTorch on a GPU,
the peer of `ponder bench step`: `generate` with sampling, then policy gradients on the sampled tokens in micro-batches
of so many tokens, bf16 weights with fp32 AdamW. Rewards are made up, as there."""
import sys
import time

import torch
from transformers import AutoModelForCausalLM


def main():
    directory = sys.argv[1]
    prompts, completions, prompt, new, micro_batch = map(int, sys.argv[2:7])
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16).cuda()
    model.gradient_checkpointing_enable()
    master = [p.detach().float().requires_grad_() for p in model.parameters()]
    optimizer = torch.optim.AdamW(master, lr=1e-6, fused=True)
    sequences = prompts * completions
    rows = max(1, micro_batch // (prompt + new))  # sequences of a micro-batch
    times = []
    for repeat in range(3):
        torch.cuda.synchronize()
        start = time.perf_counter()
        ids = torch.randint(0, model.config.vocab_size, (prompts, prompt), device="cuda")
        ids = ids.repeat_interleave(completions, 0)
        model.eval()
        with torch.inference_mode():
            out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=True, temperature=1.0, top_k=0,
                                 max_new_tokens=new, min_new_tokens=new, pad_token_id=0)
        out = out.clone()
        torch.cuda.synchronize()
        generated = time.perf_counter()
        model.train()
        advantages = torch.randn(sequences, device="cuda")
        for begin in range(0, sequences, rows):
            part = out[begin:begin + rows]
            hidden = model.model(input_ids=part[:, :-1], use_cache=False).last_hidden_state[:, prompt - 1:]
            loss = 0
            for i in range(len(part)):  # logits of one sequence at a time: all of them would not fit
                logprobs = torch.log_softmax(model.lm_head(hidden[i]).float(), -1)
                taken = logprobs.gather(-1, part[i, prompt:, None])
                loss = loss - advantages[begin + i] * taken.sum() / (sequences * new)
            loss.backward()
        for copy, parameter in zip(master, model.parameters()):
            copy.grad = parameter.grad.float()
            parameter.grad = None
        torch.nn.utils.clip_grad_norm_(master, 1.0)
        optimizer.step()
        with torch.no_grad():
            for copy, parameter in zip(master, model.parameters()):
                parameter.copy_(copy)
        torch.cuda.synchronize()
        if repeat > 0:
            end = time.perf_counter()
            times.append((end - start, generated - start, end - generated))
    for name, values in zip(("step", "generation", "learning"), zip(*times)):
        print(f"plain PyTorch {name}: {min(values):.2f}-{max(values):.2f} s")
    print(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()
