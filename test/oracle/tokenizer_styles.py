"""Oracle vectors for tokenizer.json files of the kinds Llama checkpoints come with, as HF's Rust tokenizers run them.

    python test/oracle/tokenizer_styles.py --corpus examples/data --out test/vectors/tokenizer

Writes one folder per kind: tokenizer.json (a BPE of about 500 tokens trained on the corpus) and cases.json, a list of
[text, ids] with nothing added. Every list of ids decodes to `text` or, third in the list, to the text given there.
"""

import argparse
import json
import random
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# What patterns disagree on: case, marks, digits and spaces outside ASCII, controls, special tokens written out.
PIECES = (
    ["the", "a", "e", " of", " ", "  ", "\n", "\t", "\r\n", "1", "23", "4567", "!", "?!", "'s", "'S", "'re", "'LL", "_"]
    + ["\u017f", "\u00e9", "e\u0301", "\u00df", "\u0130", "\u4e2d\u6587", "\u3007", "\U0001f642", "\u00a0", "\u2003"]
    + ["\u0085", "\u200b", "\u2028", "\x00", "\x1c", "\x7f", "\u0950\u0928\u092e\u0903", "\u2167", "\u00b2"]
    + ["\u00bd", "\u0663\u0664", "<|end|>", "</s>", "<0x41>", "\u2581", "\u2581\u2581", "\U00010330", "\ufffd", "\ufeff"]
)


def byte_level(step: pre_tokenizers.PreTokenizer, corpus: list[str], ignore_merges: bool) -> Tokenizer:
    """A BPE over bytes behind `step`, as GPT-2, SmolLM and Llama 3 have it."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = step
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        corpus,
        trainers.BpeTrainer(vocab_size=500, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False),
    )
    return tokenizer


def sentence_piece(corpus: list[str], metaspace: bool) -> Tokenizer:
    """A BPE over characters with byte fallback and no split into words, as Llama 2 has it in its two spellings."""
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    trained.train_from_iterator(
        corpus, trainers.BpeTrainer(vocab_size=700, special_tokens=special, show_progress=False)
    )
    learned = json.loads(trained.to_str())
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if metaspace:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
        )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    parts = json.loads(tokenizer.to_str())
    parts["model"] |= {key: learned["model"][key] for key in ("vocab", "merges")}
    parts["added_tokens"] = [token for token in learned["added_tokens"] if not token["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(parts))


def texts(seed: int) -> list[str]:
    """Pieces alone, random strings of them, and words longer than the library's cache takes."""
    draw = random.Random(seed)
    mixed = ["".join(draw.choice(PIECES) for _ in range(draw.randint(2, 20))) for _ in range(150)]
    long = ["a" * 300, "th" * 200, " " * 270, "\n" * 99, "the " * 80 + "e" * 77]
    return ["", *PIECES, *mixed, *long]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="folder of .txt files")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    corpus = [path.read_text(encoding="utf-8") for path in sorted(arguments.corpus.glob("*.txt"))]

    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    with_regex = pre_tokenizers.ByteLevel(add_prefix_space=False)
    llama3 = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), bytes_only])
    smollm = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), with_regex])
    prefixed = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)  # a space shows where digits end
    grouped = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=False), prefixed])
    kinds = {
        "gpt2": byte_level(with_regex, corpus, ignore_merges=False),
        "llama3": byte_level(llama3, corpus, ignore_merges=True),
        "smollm": byte_level(smollm, corpus, ignore_merges=False),
        "digits": byte_level(grouped, corpus, ignore_merges=False),
        "llama2-normalizer": sentence_piece(corpus, metaspace=False),
        "llama2-metaspace": sentence_piece(corpus, metaspace=True),
    }
    for name, tokenizer in kinds.items():
        folder = arguments.out / name
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
        lines = []
        for text in texts(seed=1234):
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            back = tokenizer.decode(ids, skip_special_tokens=False)
            lines.append(json.dumps([text, ids] if back == text else [text, ids, back], separators=(",", ":")))
        (folder / "cases.json").write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
