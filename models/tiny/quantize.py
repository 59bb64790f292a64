"""Lamina's q8 layout of a safetensors checkpoint.

A weight `X.weight` of shape [M, N] becomes two tensors:

    X.weight         I8  [M, N]             codes in -127..127
    X.weight.scales  F16 [M, ceil(N / 32)]  one scale per block of 32 columns of a row

and stands for w[m, n] = code[m, n] * scale[m, floor(n / 32)]. Vectors (the norm weights) stay float32.
"""

import torch

BLOCK = 32  # columns per scale; the last block of a row may be shorter
CODE_MAX = 127


def quantize(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[M, N] float32 -> codes int8 [M, N], scales float16 [M, ceil(N / 32)].

    scale = f16(max|w| / 127); code = w / scale, with the scale as stored, rounded half to even and clamped to
    -127..127. A block whose scale is zero has zero codes.
    """
    M, N = weight.shape
    blocks = -(-N // BLOCK)
    padded = torch.zeros(M, blocks * BLOCK)
    padded[:, :N] = weight
    padded = padded.view(M, blocks, BLOCK)
    scales = (padded.abs().amax(dim=2) / CODE_MAX).to(torch.float16)
    stored = scales.float().unsqueeze(2)
    quotients = torch.where(stored > 0, padded / stored, torch.zeros(()))
    codes = quotients.round().clamp(-CODE_MAX, CODE_MAX).to(torch.int8)
    return codes.view(M, blocks * BLOCK)[:, :N].contiguous(), scales


def dequantize(codes: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """codes int8 [M, N], scales float16 [M, ceil(N / 32)] -> [M, N] float32, each product rounded once."""
    per_column = scales.float().repeat_interleave(BLOCK, dim=1)[:, : codes.shape[1]]
    return codes.float() * per_column


def quantize_state(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Quantize every matrix of a state dict; vectors are kept as float32."""
    stored: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if tensor.dim() == 2:
            stored[name], stored[f"{name}.scales"] = quantize(tensor.float())
        else:
            stored[name] = tensor.float().contiguous()
    return stored


def dequantize_state(stored: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The float32 state dict that `stored`, written by `quantize_state`, stands for."""
    return {
        name: dequantize(tensor, stored[f"{name}.scales"]) if tensor.dtype == torch.int8 else tensor
        for name, tensor in stored.items()
        if not name.endswith(".scales")
    }
