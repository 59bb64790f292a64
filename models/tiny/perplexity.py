"""Perplexity as Lamina defines it, for a transformers model and for a unigram model.

Each document is tokenized as it is, with nothing added, and cut into non-overlapping windows of 256 tokens (the last
one may be shorter). The first token of a window is not predicted. Perplexity is exp of the mean negative natural log
likelihood over all predicted tokens of all documents.
"""

import math
from dataclasses import dataclass

import torch
from transformers import LlamaForCausalLM

WINDOW = 256
ROWS_AT_ONCE = 16


@dataclass
class Likelihood:
    """A running sum of negative log likelihood, in nats, over predicted tokens."""

    nats: float = 0.0
    tokens: int = 0

    @property
    def perplexity(self) -> float:
        return math.exp(self.nats / self.tokens)


def windows(document: list[int]) -> list[torch.Tensor]:
    """Cut token ids into windows that predict at least one token."""
    pieces = [document[start : start + WINDOW] for start in range(0, len(document), WINDOW)]
    return [torch.tensor(piece) for piece in pieces if len(piece) > 1]


@torch.no_grad()
def model_likelihood(model: LlamaForCausalLM, documents: list[list[int]]) -> Likelihood:
    """Likelihood of the documents (lists of token ids) under `model`, in float32."""
    result = Likelihood()
    pieces = [piece for document in documents for piece in windows(document)]
    full = [piece for piece in pieces if len(piece) == WINDOW]
    batches = [torch.stack(full[first : first + ROWS_AT_ONCE]) for first in range(0, len(full), ROWS_AT_ONCE)]
    batches += [piece.unsqueeze(0) for piece in pieces if len(piece) < WINDOW]
    for rows in batches:
        logits = model(input_ids=rows, use_cache=False).logits[:, :-1].float()
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="none")
        result.nats += losses.double().sum().item()
        result.tokens += losses.numel()
    return result


def unigram_likelihood(counts: torch.Tensor, documents: list[list[int]]) -> Likelihood:
    """The same tokens under add-one smoothed token counts of the training text; `counts` has shape (vocabulary)."""
    nats = -torch.log((counts.double() + 1) / (counts.sum() + len(counts)))
    result = Likelihood()
    for document in documents:
        for piece in windows(document):
            result.nats += nats[piece[1:]].sum().item()
            result.tokens += len(piece) - 1
    return result
