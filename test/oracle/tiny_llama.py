"""Oracle vectors for the decoder and its LoRA gradients: random Llama checkpoints run by transformers and PEFT.

    python test/oracle/tiny_llama.py --out test/vectors/model/random

Everything is float32 with eager attention on one thread. The models are random but not at rest: weights are wide
enough that attention is far from uniform, and norm weights and LoRA B are not at their initial values, so that no
term of the mathematics can be left out unnoticed.
"""

import argparse
import json
import shutil
from importlib.metadata import version
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

SEED = 7
TOKENS = 40
DOCUMENT_LENGTHS = (17, 23)  # packed into one row of TOKENS
LOGIT_ROWS = (0, 1, 19, 39)  # positions whose logits are kept
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ADAMW = {"lr": 1e-2, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}
CLIP_NORM = 1.0
STEPS = 3


def random_model(generator: torch.Generator, **overrides) -> LlamaForCausalLM:
    """A Llama of 2 layers with weights drawn from `generator`; overrides go to its config."""
    shape = {
        "vocab_size": 128, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 96, "max_position_embeddings": 128,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True, "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip
    model = LlamaForCausalLM(LlamaConfig(**{**shape, **overrides}, attn_implementation="eager"))
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(0.2 * noise if parameter.dim() == 2 else 1 + 0.2 * noise)
    return model.eval()


def loss_of(model, ids: torch.Tensor) -> torch.Tensor:
    """Mean negative log likelihood (nats) of ids (T), each token but the first predicted from those before it."""
    logits = model(input_ids=ids.unsqueeze(0), use_cache=False).logits[0]
    return torch.nn.functional.cross_entropy(logits[:-1], ids[1:])


@torch.no_grad()
def logit_rows(model, ids: torch.Tensor) -> torch.Tensor:
    """The logits at LOGIT_ROWS, shape (rows, vocabulary)."""
    return model(input_ids=ids.unsqueeze(0), use_cache=False).logits[0][list(LOGIT_ROWS)].contiguous()


def packed_losses(model, ids: torch.Tensor) -> list[torch.Tensor]:
    """The loss of each document of a packed row: block-diagonal causal mask, positions from 0 in every document."""
    lengths = torch.tensor(DOCUMENT_LENGTHS)
    segment = torch.arange(len(lengths)).repeat_interleave(lengths)
    position = torch.cat([torch.arange(length) for length in DOCUMENT_LENGTHS])
    row = torch.arange(len(ids))
    visible = (segment[:, None] == segment[None, :]) & (row[:, None] >= row[None, :])
    mask = torch.zeros(visible.shape).masked_fill(~visible, torch.finfo(torch.float32).min)
    logits = model(
        input_ids=ids.unsqueeze(0), position_ids=position.unsqueeze(0), attention_mask=mask[None, None], use_cache=False
    ).logits[0]
    losses, start = [], 0
    for length in DOCUMENT_LENGTHS:
        end = start + length
        losses.append(torch.nn.functional.cross_entropy(logits[start : end - 1], ids[start + 1 : end]))
        start = end
    return losses


def packed_vectors(model, ids: torch.Tensor) -> tuple[dict, torch.Tensor]:
    """Figures of the packed row and its differentiable loss: the mean over all predicted tokens of the row."""
    alone = [loss_of(model, document).item() for document in ids.split(DOCUMENT_LENGTHS)]
    losses = packed_losses(model, ids)
    weights = [length - 1 for length in DOCUMENT_LENGTHS]
    mean = sum(weight * loss for weight, loss in zip(weights, losses)) / sum(weights)
    figures = {"perDocument": [loss.item() for loss in losses], "perDocumentAlone": alone, "mean": mean.item()}
    return figures, mean


def lora_tensors(model: PeftModel, gradients: bool = False) -> dict[str, torch.Tensor]:
    """The LoRA factors, or their gradients, named as in adapter_model.safetensors."""
    return {
        name.replace(".default.", "."): (parameter.grad if gradients else parameter.data).clone()
        for name, parameter in model.named_parameters()
        if "lora_" in name
    }


def with_adapter(base: LlamaForCausalLM, generator: torch.Generator) -> PeftModel:
    """`base` with rank 4, alpha 8 on all seven linears of a layer; A and B drawn from `generator`."""
    config = LoraConfig(r=4, lora_alpha=8, target_modules=LINEARS, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM")
    model = get_peft_model(base, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def train_steps(model: PeftModel, sequences: torch.Tensor) -> list[dict]:
    """One clipped AdamW step per sequence; each entry has the loss and gradient norm before that step."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, **ADAMW)
    history = []
    for ids in sequences:
        optimizer.zero_grad()
        loss = loss_of(model, ids)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, CLIP_NORM)
        optimizer.step()
        history.append({"loss": loss.item(), "gradientNorm": norm.item()})
    return history


def save_adapter(model: PeftModel, folder: Path) -> None:
    """PEFT's own files, less the model card, with a base model named by its relative place."""
    model.peft_config["default"].base_model_name_or_path = "test/vectors/model/random"
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["target_modules"].sort()  # PEFT keeps a set, whose order changes from run to run
    write_json(path, config)


def save_untied(model: LlamaForCausalLM, folder: Path) -> None:
    """Write `model` in float16 with the config keys of transformers 4, which most published checkpoints have."""
    save_base(model.to(torch.float16), folder)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    config["rope_scaling"] = None
    config["torch_dtype"] = config.pop("dtype")
    write_json(path, config)


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def save_base(model: LlamaForCausalLM, folder: Path, **options) -> None:
    model.save_pretrained(folder, **options)
    (folder / "generation_config.json").unlink(missing_ok=True)


def sharded_logits(base: LlamaForCausalLM, folder: Path, ids: torch.Tensor) -> torch.Tensor:
    """Write `base` in bfloat16 over two files; the logits are of the rounded weights, computed in float32."""
    rounded = LlamaForCausalLM(base.config)
    rounded.load_state_dict(base.state_dict())
    save_base(rounded.to(torch.bfloat16), folder, max_shard_size="80KB")
    if len(list(folder.glob("*.safetensors"))) != 2:
        raise ValueError("expected two shards: change max_shard_size")
    return logit_rows(load(folder), ids)


def load(folder: Path) -> LlamaForCausalLM:
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder that is replaced by the vectors")
    out: Path = parser.parse_args().out
    shutil.rmtree(out, ignore_errors=True)
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)

    base = random_model(generator)
    save_base(base, out)
    sequences = torch.randint(128, (STEPS, TOKENS), generator=generator)
    ids = sequences[0]
    logits = {"base": logit_rows(base, ids), "sharded": sharded_logits(base, out / "sharded", ids)}
    vectors: dict = {"base": {"loss": loss_of(base, ids).item(), "packed": packed_vectors(base, ids)[0]}}

    # Another shape on purpose: head_dim is not hidden / heads, theta and epsilon differ, and the file is float16.
    untied = random_model(
        generator, tie_word_embeddings=False, head_dim=32, num_key_value_heads=1, rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
    )  # fmt: skip
    save_untied(untied, out / "untied")
    untied = load(out / "untied")
    logits["untied"] = logit_rows(untied, ids)
    vectors["untied"] = {"loss": loss_of(untied, ids).item()}

    model = with_adapter(base, generator)
    save_adapter(model, out / "adapter")
    logits["adapter"] = logit_rows(model, ids)
    loss = loss_of(model, ids)
    loss.backward()
    save_file(lora_tensors(model, gradients=True), out / "gradients.safetensors")
    model.zero_grad()
    packed, packed_loss = packed_vectors(model, ids)
    packed_loss.backward()
    save_file(lora_tensors(model, gradients=True), out / "packed_gradients.safetensors")
    vectors["adapter"] = {"loss": loss.item(), "packed": packed}
    vectors["adapter"]["steps"] = train_steps(model, sequences)
    save_file(lora_tensors(model), out / "after_steps.safetensors")

    model = PeftModel.from_pretrained(load(out), out / "adapter")
    model.peft_config["default"].use_rslora = True
    save_adapter(model, out / "adapter_rslora")
    model = PeftModel.from_pretrained(load(out), out / "adapter_rslora").eval()
    logits["adapterRslora"] = logit_rows(model, ids)
    vectors["adapterRslora"] = {"loss": loss_of(model, ids).item()}

    save_file(logits, out / "logits.safetensors")
    vectors = {
        "sequences": sequences.tolist(),
        "logitRows": list(LOGIT_ROWS),
        "documentLengths": list(DOCUMENT_LENGTHS),
        "adamw": {**ADAMW, "clipNorm": CLIP_NORM},
        **vectors,
        "madeWith": {package: version(package) for package in ("torch", "transformers", "peft", "safetensors")},
    }
    write_json(out / "vectors.json", vectors)


if __name__ == "__main__":
    main()
