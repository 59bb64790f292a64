"""PyTorch + PEFT on the shapes of bench/train.mjs, driven line by line so that both sides can take turns.

A Llama of random weights, LoRA of rank 8 on all seven linears, one training step = forward, loss, backward, AdamW.
Prints {"ready": ...} after the warm-up (torch.compile included); then for every line N on stdin runs N steps and
prints {"seconds": [...], "peak_mib": ...}. Ends when stdin does.

precision: f32 (what a plain script gets), mixed (bf16 base, f32 adapters), bf16 (base, adapters and moments).
"""
import argparse
import json
import os
import resource
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

SHAPES = {
    "135m": {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
             "num_key_value_heads": 3, "vocab_size": 49152, "tie_word_embeddings": True},
    "1.1b": {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32,
             "num_key_value_heads": 4, "vocab_size": 32000, "tie_word_embeddings": False},
}
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=SHAPES, default="135m")
    parser.add_argument("--precision", choices=["f32", "mixed", "bf16"], default="bf16")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--attention", choices=["sdpa", "eager"], default="eager")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--warm", type=int, default=3)
    return parser.parse_args()


def build(options):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    torch.set_num_threads(options.threads)
    config = LlamaConfig(**SHAPES[options.shape], max_position_embeddings=2048, rms_norm_eps=1e-5, use_cache=False,
                         attn_implementation=options.attention, pad_token_id=0)
    torch.set_default_dtype(torch.float32 if options.precision == "f32" else torch.bfloat16)
    base = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    lora = LoraConfig(r=8, lora_alpha=16, target_modules=LINEARS, task_type="CAUSAL_LM")
    model = get_peft_model(base, lora, autocast_adapter_dtype=options.precision != "bf16").train()
    if options.compile:
        model.compile(dynamic=False)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    tokens = torch.randint(3, config.vocab_size, (options.batch, options.context))

    def step():
        started = time.perf_counter()
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - started

    return step, torch.__version__


def say(message):
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    options = arguments()
    step, version = build(options)
    for _ in range(options.warm):
        step()
    say({"ready": True, "torch": version, **vars(options)})
    for line in sys.stdin:
        seconds = [step() for _ in range(int(line))]
        say({"seconds": seconds, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})
