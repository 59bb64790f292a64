"""Oracle vectors for every family of decoders: random checkpoints run by transformers and PEFT.

    python test/oracle/tiny_families.py --out test/vectors/model/families

Each folder has a checkpoint as transformers writes it, the logits of one sequence (float32, eager attention, one
thread), and for some an adapter of PEFT with the gradients of its factors; rope.json has the frequencies of every kind
of RoPE scaling. Weights are bfloat16 values, stored as such, so that the files are small and the logits exact.
"""

import argparse
import copy
import json
import shutil
from importlib.metadata import version
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

SEED = 11
TOKENS = 24
VOCABULARY = 96
COMMON = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None,
}  # fmt: skip
LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
MODELS = {
    "llama3": ("llama", {
        "tie_word_embeddings": False, "attention_bias": True, "mlp_bias": True,
        "rope_parameters": {**LLAMA3, "rope_theta": 1000.0, "original_max_position_embeddings": 32},
    }),
    "yarn": ("llama", {"rope_parameters": {**YARN, "rope_theta": 10000.0}}),
    "linear": ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 2.5, "rope_theta": 10000.0}}),
    "mistral": ("mistral", {"sliding_window": 5}),
    "qwen2": ("qwen2", {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1}),
    "qwen3": ("qwen3", {"head_dim": 16}),
    "gpt2": ("gpt2", {
        "n_embd": 32, "n_layer": 2, "n_head": 4, "n_inner": 48, "n_positions": 64, "layer_norm_epsilon": 1e-5,
    }),
}  # fmt: skip
WITH_GRADIENTS = ("mistral", "qwen2", "qwen3", "gpt2")
SCALINGS = {
    "linear": {"rope_type": "linear", "factor": 8.0},
    "llama3": {**LLAMA3, "factor": 8.0, "original_max_position_embeddings": 8192},
    "yarn": {**YARN, "original_max_position_embeddings": 4096},
    "yarn, not truncated": {**YARN, "original_max_position_embeddings": 4096, "truncate": False},
    "yarn, own betas": {**YARN, "original_max_position_embeddings": 4096, "beta_fast": 16.0, "beta_slow": 2.0},
    "yarn, own attention factor": {**YARN, "original_max_position_embeddings": 4096, "attention_factor": 0.9},
    "yarn, mscale": {**YARN, "original_max_position_embeddings": 4096, "mscale": 0.7, "mscale_all_dim": 1.2},
}


def random_model(generator: torch.Generator, model_type: str, overrides: dict):
    """A model whose weights are bfloat16 values far from their initial ones, norms and biases too."""
    common = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 0} if model_type == "gpt2" else COMMON
    config = AutoConfig.for_model(model_type, **{**common, **overrides})
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            center = 1 if parameter.dim() == 1 and name.endswith("weight") else 0
            parameter.copy_((center + 0.25 * noise).to(torch.bfloat16))
    return model.eval()


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def save_adapter(model, folder: Path) -> None:
    """PEFT's own files, less the model card, with a base model named by its relative place."""
    model.peft_config["default"].base_model_name_or_path = "."
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()  # PEFT keeps a set, whose order changes from run to run
    write_json(path, config)


def write_gradients(model, ids: torch.Tensor, generator: torch.Generator, folder: Path) -> float:
    """An adapter on every linear, drawn from `generator`, with the loss under it and the gradients of its factors."""
    model = get_peft_model(
        model, LoraConfig(r=2, lora_alpha=4, target_modules="all-linear", lora_dropout=0.0, task_type="CAUSAL_LM")
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_((0.2 * torch.randn(parameter.shape, generator=generator)).to(torch.bfloat16))
    save_adapter(model, folder / "adapter")
    logits = model(input_ids=ids.unsqueeze(0), use_cache=False).logits[0]
    loss = torch.nn.functional.cross_entropy(logits[:-1], ids[1:])
    loss.backward()
    gradients = {
        name.replace(".default.", "."): parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if "lora_" in name
    }
    save_file(gradients, folder / "gradients.safetensors")
    return loss.item()


def rope_vectors() -> dict:
    """Frequencies of 64 dimensions and the factor of cos and sin, by kind of scaling."""
    vectors = {}
    for name, scaling in SCALINGS.items():
        parameters = {**scaling, "rope_theta": 500000.0}
        config = LlamaConfig(hidden_size=256, num_attention_heads=4, rope_parameters=parameters)
        frequencies, factor = ROPE_INIT_FUNCTIONS[scaling["rope_type"]](config, "cpu")
        vectors[name] = {"parameters": parameters, "frequencies": frequencies.tolist(), "attentionFactor": factor}
    return vectors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder that is replaced by the vectors")
    out: Path = parser.parse_args().out
    shutil.rmtree(out, ignore_errors=True)
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    ids = torch.randint(VOCABULARY, (TOKENS,), generator=generator)
    models: dict = {}
    for name, (model_type, overrides) in MODELS.items():
        model = random_model(generator, model_type, overrides)
        folder = out / name
        with torch.no_grad():
            logits = model(input_ids=ids.unsqueeze(0), use_cache=False).logits[0].contiguous()
        copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)  # a copy: its RoPE tables are rounded too
        (folder / "generation_config.json").unlink(missing_ok=True)
        save_file({"logits": logits}, folder / "logits.safetensors")
        models[name] = {}
        if name in WITH_GRADIENTS:
            models[name]["adapterLoss"] = write_gradients(model, ids, generator, folder)
    write_json(out / "rope.json", rope_vectors())
    versions = {name: version(name) for name in ("torch", "transformers", "peft")}
    write_json(out / "vectors.json", {"versions": versions, "ids": ids.tolist(), "models": models})


if __name__ == "__main__":
    main()
