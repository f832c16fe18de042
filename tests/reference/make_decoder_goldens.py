#!/usr/bin/env python3
"""Writes decoder_goldens.h: log-probs that `transformers` computes in float64 for the models of tests/model/tiny_models.cc.

The weights are random numbers of base/random.h, made here again. Needs torch and transformers.

    python tests/reference/make_decoder_goldens.py > tests/reference/decoder_goldens.h
"""

import math

import torch
import transformers

MASK = (1 << 64) - 1
IDS = 120      # long enough to pass the original context of the scaled models
STRIDE = 7     # every seventh log-prob is kept


def philox2x64(counter0, counter1, key):
    for _ in range(10):
        product = counter0 * 0xD2B74407B1CE6E93
        counter0, counter1 = (product >> 64) ^ key ^ counter1, product & MASK
        key = (key + 0x9E3779B97F4A7C15) & MASK
    return counter0, counter1


def stable_hash(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


def uniforms(seed, purpose, a, count):
    mixed0, mixed1 = philox2x64(a, stable_hash(purpose), seed)
    return [(philox2x64(b, mixed1, mixed0)[0] >> 11) * 2.0**-53 for b in range(count)]


def random_tensor(name, shape):
    u = torch.tensor(uniforms(1, name, 0, math.prod(shape)), dtype=torch.float64).reshape(shape)
    if name.endswith(".bias"):
        value = 0.2 * (2 * u - 1)
    elif len(shape) == 1:
        value = 1 + 0.2 * (2 * u - 1)
    elif name == "model.embed_tokens.weight":
        value = 0.3 * (2 * u - 1)
    else:
        value = math.sqrt(3 / shape[1]) * (2 * u - 1)
    return value.float().double()


def make_config(family, rope=None, **changes):
    settings = dict(
        hidden_size=36, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2, head_dim=8,
        intermediate_size=52, vocab_size=75, max_position_embeddings=512, rms_norm_eps=1e-5,
        tie_word_embeddings=True, bos_token_id=0, eos_token_id=0, pad_token_id=None,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0} | (rope or {}))
    return family(**(settings | changes))


def configs():
    llama, qwen2, qwen3 = transformers.LlamaConfig, transformers.Qwen2Config, transformers.Qwen3Config
    qwen_rope = {"rope_theta": 1000000.0}
    linear = {"rope_type": "linear", "factor": 4.0}
    llama3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
              "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
    yield "llama", make_config(llama)
    yield "llama_bias_untied", make_config(
        llama, num_key_value_heads=6, tie_word_embeddings=False, attention_bias=True)
    yield "llama_linear", make_config(llama, linear, head_dim=16)
    yield "llama_llama3", make_config(llama, llama3, head_dim=16)
    yield "llama_yarn", make_config(llama, yarn, head_dim=16)
    for tied, suffix in ((True, ""), (False, "_untied")):
        # Qwen2Config has no head width of its own: it is the model width by the number of heads, unless set afterwards.
        config = make_config(qwen2, qwen_rope, rms_norm_eps=1e-6, tie_word_embeddings=tied)
        config.head_dim = 8
        yield "qwen2" + suffix, config
    for tied, suffix in ((True, ""), (False, "_untied")):
        yield "qwen3" + suffix, make_config(qwen3, qwen_rope, rms_norm_eps=1e-6, tie_word_embeddings=tied,
                                            num_attention_heads=4, head_dim=20)


def logprobs(config):
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(random_tensor(name, tuple(parameter.shape)))
        ids = torch.tensor([[int(u * config.vocab_size) for u in uniforms(1, "ids", 0, IDS)]])
        scores = torch.log_softmax(model(ids).logits[0, :-1], -1)
        return scores.gather(1, ids[0, 1:, None]).squeeze(1)[::STRIDE].tolist()


def main():
    print(f"""#pragma once

#include <cstdint>
#include <string>
#include <vector>

// Written by tests/reference/make_decoder_goldens.py with transformers {transformers.__version__} in float64.
namespace ponder::reference {{

inline constexpr int64_t kGoldenIds = {IDS};
inline constexpr int64_t kGoldenStride = {STRIDE};

struct DecoderGolden {{
  std::string model;             // of tests/model/tiny_models.h
  std::vector<double> logprobs;  // of token t + 1 after token t, t = 0, {STRIDE}, ...
}};

inline const std::vector<DecoderGolden>& DecoderGoldens() {{
  static const auto* goldens = new std::vector<DecoderGolden>{{""")
    for name, config in configs():
        values = [f"{value:.9f}" for value in logprobs(config)]
        lines = [", ".join(values[i:i + 6]) for i in range(0, len(values), 6)]
        print(f'      {{"{name}",\n       {{' + ",\n        ".join(lines) + "}},")
    print("""  };
  return *goldens;
}

}  // namespace ponder::reference""")


if __name__ == "__main__":
    main()
