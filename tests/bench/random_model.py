#!/usr/bin/env python3
"""random_model.py SHAPE DIR: a Hugging Face directory in the shape of a known model, with random
weights and a tokenizer of bytes and names: for benchmarks where the model itself cannot be had."""
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file

# width, layers, heads, key/value heads, feed-forward width, vocabulary, tied, biases
SHAPES = {
    "smollm2-135m": (576, 30, 9, 3, 1536, 49152, True, False),
    "qwen2.5-0.5b": (896, 24, 14, 2, 4864, 151936, True, True),
    "qwen2.5-1.5b": (1536, 28, 12, 2, 8960, 151936, True, True),
    "qwen2.5-7b": (3584, 28, 28, 4, 18944, 152064, False, True),
}


def byte_alphabet():
    """The printable characters that stand for bytes 0 ... 255 in GPT-2's tokenizers."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b if b in printed else next(others)) for b in range(256)]


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in SHAPES:
        sys.exit(f"usage: random_model.py {{{','.join(SHAPES)}}} DIR")
    width, layers, heads, kv_heads, ffn, vocabulary, tied, biases = SHAPES[sys.argv[1]]
    directory = pathlib.Path(sys.argv[2])
    directory.mkdir(parents=True, exist_ok=True)
    head_width = width // heads
    config = {
        "architectures": ["Qwen2ForCausalLM" if biases else "LlamaForCausalLM"],
        "model_type": "qwen2" if biases else "llama", "hidden_size": width, "intermediate_size": ffn,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "vocab_size": vocabulary, "max_position_embeddings": 8192, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
        "hidden_act": "silu", "tie_word_embeddings": tied, "bos_token_id": 0, "eos_token_id": 0,
        "torch_dtype": "bfloat16"}
    (directory / "config.json").write_text(json.dumps(config))
    words = {name: i for i, name in enumerate(byte_alphabet())}
    words.update({f"<word{i}>": i for i in range(256, vocabulary)})
    (directory / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": words, "merges": []}}))

    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator(device=device).manual_seed(1)

    def matrix(rows, columns):
        values = torch.randn(rows, columns, generator=generator, device=device, dtype=torch.float32)
        return (values * columns**-0.5).to(torch.bfloat16).cpu()

    def vector(size, value):
        return torch.full((size,), value, dtype=torch.bfloat16)

    tensors = {"model.embed_tokens.weight": matrix(vocabulary, width), "model.norm.weight": vector(width, 1.0)}
    if not tied:
        tensors["lm_head.weight"] = matrix(vocabulary, width)
    for i in range(layers):
        prefix = f"model.layers.{i}."
        for name, rows, columns in (("self_attn.q_proj", heads * head_width, width),
                                    ("self_attn.k_proj", kv_heads * head_width, width),
                                    ("self_attn.v_proj", kv_heads * head_width, width),
                                    ("self_attn.o_proj", width, heads * head_width),
                                    ("mlp.gate_proj", ffn, width), ("mlp.up_proj", ffn, width),
                                    ("mlp.down_proj", width, ffn)):
            tensors[prefix + name + ".weight"] = matrix(rows, columns)
            if biases and name[-6:] in ("q_proj", "k_proj", "v_proj"):
                tensors[prefix + name + ".bias"] = vector(rows, 0.0)
        tensors[prefix + "input_layernorm.weight"] = vector(width, 1.0)
        tensors[prefix + "post_attention_layernorm.weight"] = vector(width, 1.0)
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
