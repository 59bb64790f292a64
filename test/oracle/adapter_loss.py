"""The loss of an adapter that Lamina wrote, on a text, as others compute it in float32; prints one JSON object.

    python test/oracle/adapter_loss.py --model models/.cache/SmolLM2-135M-Instruct.Q4_1.gguf \
        --adapter runs/e2e/adapter --text test/vectors/real/text.txt
    python test/oracle/adapter_loss.py --model ... --adapter adapter.gguf --text ...

A folder is a PEFT adapter, on the GGUF file as transformers dequantizes it; a file is a GGUF adapter, in llama.cpp
(needs only numpy and llama-cpp-python), which also rounds activations where the base is quantized. Compare with

    lamina eval <model> --data <text> --context 512 --adapter <folder> --json
"""

import argparse
import json
import math
from pathlib import Path

WINDOW = 512  # tokens; windows do not overlap, the first token of each is not predicted


def with_peft(model_path: Path, adapter: Path | None, text: str) -> tuple[float, int]:
    import torch
    from peft import PeftModel

    from real_model import WINDOW as window, likelihood, load

    assert window == WINDOW
    tokenizer, model = load(model_path)
    if adapter:
        model = PeftModel.from_pretrained(model, str(adapter)).eval()
    with torch.no_grad():
        found = likelihood(model, tokenizer(text, add_special_tokens=False)["input_ids"])
    return found["loss"], found["tokens"]


def with_llama_cpp(model_path: Path, adapter: Path | None, text: str) -> tuple[float, int]:
    import numpy
    from llama_cpp import Llama

    lora = {"lora_path": str(adapter)} if adapter else {}
    model = Llama(str(model_path), n_ctx=WINDOW, n_batch=WINDOW, logits_all=True, verbose=False, **lora)
    ids = model.tokenize(text.encode(), add_bos=False, special=True)
    total, count = 0.0, 0
    for start in range(0, len(ids), WINDOW):
        window = ids[start : start + WINDOW]
        if len(window) < 2:
            continue
        model.reset()
        model.eval(window)
        logits = numpy.array(model.scores[: len(window) - 1], dtype=numpy.float64)
        top = logits.max(1, keepdims=True)
        logs = logits - top - numpy.log(numpy.exp(logits - top).sum(1, keepdims=True))
        total -= sum(logs[i, window[i + 1]] for i in range(len(window) - 1))
        count += len(window) - 1
    return total / count, count


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", type=Path, required=True, help="the base, a GGUF file")
parser.add_argument("--adapter", type=Path, help="PEFT folder or GGUF file; left out: the base alone")
parser.add_argument("--by", choices=["peft", "llama.cpp"], help="default: by what the adapter is")
parser.add_argument("--text", type=Path, required=True)
arguments = parser.parse_args()
by = arguments.by or ("llama.cpp" if arguments.adapter and arguments.adapter.is_file() else "peft")
score = with_peft if by == "peft" else with_llama_cpp
loss, tokens = score(arguments.model, arguments.adapter, arguments.text.read_text(encoding="utf-8"))
print(json.dumps({"by": by, "loss": loss, "perplexity": math.exp(loss), "tokens": tokens}))
