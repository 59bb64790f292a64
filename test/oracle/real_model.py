"""Oracle figures of a real model, SmolLM2-135M-Instruct (GGUF Q4_1), as transformers computes them in float32.

    node scripts/fetch-smollm2.mjs
    python test/oracle/real_model.py --model models/.cache/SmolLM2-135M-Instruct.Q4_1.gguf --out test/vectors/real

transformers dequantizes the GGUF file; its loss on test/vectors/real/text.txt, its greedy answers to five questions and
its tokenizer's ids of STRINGS are written to smollm2-135m.json.
"""

import argparse
import hashlib
import json
import math
import os
import re
from importlib.metadata import version
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
import torch  # noqa: E402
from tokenizers import pre_tokenizers  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

WINDOW = 512  # tokens; windows do not overlap, the first token of each is not predicted
ANSWER = 64  # tokens
QUESTIONS = [
    "What is the capital of France?",
    "Write a haiku about the sea.",
    "Explain what a prime number is in one sentence.",
    "List three fruits that are red.",
    "What is 7 plus 5?",
]
# Each string is here for one way of going wrong.
STRINGS = [
    "",
    " ",
    "The meeting is at 10:30 on 2024-05-17, room 12.",  # digits stand alone
    "in 1999  2000   3 4.5e-6",  # spaces before digits are cut off from them
    "we're they'll I'd it's CAN'T 'tis",
    "tabs\tand\r\nline ends\n\n  indented\n    more  ",
    "naïve café nai\u0308ve İstanbul STRASSE straße",
    "Война и мир · 战争与和平 · 戦争と平和 · السلام · नमस्ते",
    "😀 👩‍👩‍👧‍👦 🇺🇸 👍🏽",
    "no\u00a0break\u2003em\u3000wide\u200bzero\u0085next\ufeffmark\u2028line",
    "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",  # control tokens inside a text
    "def f(x):\n\treturn {'a': x**2, \"b\": [1, 2, 3]}  # comment",
    "<|endoftext|> <|endoftext <repo_name>",
]


def load(path: Path):
    names = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    tokenizer = AutoTokenizer.from_pretrained(**names)
    # The original checkpoint's pre-tokenizer, as the file's tokenizer.ggml.pre = smollm asks for; transformers' reading
    # of GGUF files does not know this name and leaves the digits out.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
        ]
    )
    return tokenizer, AutoModelForCausalLM.from_pretrained(**names, dtype=torch.float32).eval()


def likelihood(model, ids):
    total, count, first = 0.0, 0, None
    for start in range(0, len(ids), WINDOW):
        piece = torch.tensor([ids[start : start + WINDOW]])
        if piece.shape[1] < 2:
            continue
        loss = model(input_ids=piece, labels=piece).loss.item()
        first = loss if first is None else first
        total += loss * (piece.shape[1] - 1)
        count += piece.shape[1] - 1
    loss = total / count
    return {"window": WINDOW, "tokens": count, "loss": loss, "perplexity": math.exp(loss), "firstWindowLoss": first}


def answer(tokenizer, model, question):
    """The first ANSWER greedy tokens, past the end token too, and how far each one's logit was above the next best."""
    messages = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(prompt, add_special_tokens=False).input_ids
    model.generation_config.eos_token_id = None
    out = model.generate(
        input_ids=torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=ANSWER,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=2,
        output_logits=True,
        return_dict_in_generate=True,
    )
    margins = []
    for logits in out.logits:
        best = logits[0].topk(2).values
        margins.append(round((best[0] - best[1]).item(), 5))
    found = out.sequences[0, len(ids) :].tolist()
    text = tokenizer.decode(found)
    return {"question": question, "prompt": prompt, "promptIds": ids, "ids": found, "margins": margins, "text": text}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    tokenizer, model = load(arguments.model)
    text = (arguments.out / "text.txt").read_text(encoding="utf-8")
    ids = tokenizer(text, add_special_tokens=False).input_ids
    encode = lambda string: tokenizer(string, add_special_tokens=False).input_ids  # noqa: E731
    with torch.no_grad():
        figures = {
            "made": {
                "script": "test/oracle/real_model.py",
                **{package: version(package) for package in ("torch", "transformers", "tokenizers", "gguf")},
            },
            "model": {
                "file": arguments.model.name,
                "bytes": arguments.model.stat().st_size,
                "sha256": hashlib.sha256(arguments.model.read_bytes()).hexdigest(),
            },
            "text": {"file": "text.txt", "ids": len(ids), **likelihood(model, ids)},
            "answers": [answer(tokenizer, model, question) for question in QUESTIONS],
            "tokenizer": [{"text": string, "ids": encode(string)} for string in STRINGS],
        }
    out = json.dumps(figures, ensure_ascii=False, indent=1) + "\n"
    out = re.sub(r"\[[\s\d,.]+\]", lambda numbers: re.sub(r"\s+", " ", numbers[0]), out)  # lists of numbers on one line
    (arguments.out / "smollm2-135m.json").write_text(out, encoding="utf-8")


if __name__ == "__main__":
    main()
