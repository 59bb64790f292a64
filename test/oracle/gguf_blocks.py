"""Oracle vectors for packed weights: random GGUF blocks, the arrays we hold them in, and what they mean as f32.

    python test/oracle/gguf_blocks.py --out test/vectors/formats

The blocks are random bytes with half-float scales of every size, negative and subnormal ones too. The f32 values are
gguf-py's own dequantization; the arrays are unpacked here by hand from ggml's block layouts. NF4's levels are computed
from the normal quantiles as QLoRA (arXiv:2305.14314, section 3) defines them.
"""

import argparse
import base64
import json
from importlib.metadata import version
from pathlib import Path
from statistics import NormalDist

import gguf
import numpy as np
from gguf.constants import GGMLQuantizationType as Type

SEED = 11
ROWS, COLS = 2, 512


def text(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def random_blocks(rng, kind, halves):
    """(ROWS, blocks, bytes) of random bytes, with random finite halves at the given offsets."""
    length, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (ROWS, COLS // length, size), dtype=np.uint8)
    for at in halves:
        exponents = rng.integers(0, 20, (ROWS, COLS // length), dtype=np.uint16)  # 2^-24 .. 2^5
        bits = rng.integers(0, 2**10, exponents.shape, dtype=np.uint16) | exponents << 10
        bits |= rng.integers(0, 2, exponents.shape, dtype=np.uint16) << 15
        blocks[:, :, at : at + 2] = bits[:, :, None].view(np.uint8)
    return blocks


def half(blocks, at):
    return blocks[:, :, at : at + 2].copy().view(np.uint16)


def five_bits(high, low):
    """codes (ROWS, blocks, 32) from 4 bytes of fifth bits and 16 bytes of nibbles"""
    bits = np.unpackbits(high, axis=-1, bitorder="little")
    return np.concatenate([low & 15, low >> 4], axis=-1) | bits << 4


def scales_and_mins(packed):
    """ggml's get_scale_min_k4: 12 bytes hold 8 scales and 8 mins of 6 bits"""
    scales, mins = [], []
    for j in range(8):
        if j < 4:
            scales.append(packed[..., j] & 63)
            mins.append(packed[..., j + 4] & 63)
        else:
            scales.append(packed[..., j + 4] & 15 | packed[..., j - 4] >> 6 << 4)
            mins.append(packed[..., j + 4] >> 4 | packed[..., j] >> 6 << 4)
    return np.stack(scales, -1), np.stack(mins, -1)


def nibbles_k(qs):
    """codes (ROWS, superblocks, 256): 32 bytes hold two blocks, one in the low and one in the high nibbles"""
    parts = []
    for group in range(4):
        part = qs[..., group * 32 : group * 32 + 32]
        parts += [part & 15, part >> 4]
    return np.concatenate(parts, -1)


def packed_nibbles(codes):
    """our order: byte j of a block of 32 holds column j low and column j + 16 high"""
    blocks = codes.reshape(ROWS, -1, 32)
    return blocks[..., :16] | blocks[..., 16:] << 4


def q4_0(b):
    scales = half(b, 0)
    mins = (scales.view(np.float16).astype(np.float32) * -8).astype(np.float16).view(np.uint16)
    return "q4", dict(codes=b[..., 2:], scales=scales, mins=mins)


def q4_1(b):
    return "q4", dict(codes=b[..., 4:], scales=half(b, 0), mins=half(b, 2))


def q5_0(b):
    return "q8", dict(codes=five_bits(b[..., 2:6], b[..., 6:]).astype(np.int8) - np.int8(16), scales=half(b, 0))


def q5_1(b):
    return "q5", dict(codes=five_bits(b[..., 4:8], b[..., 8:]), scales=half(b, 0), mins=half(b, 2))


def q8_0(b):
    return "q8", dict(codes=b[..., 2:], scales=half(b, 0))


def q4_k(b):
    scales, mins = scales_and_mins(b[..., 4:16])
    codes = packed_nibbles(nibbles_k(b[..., 16:]))
    return "q4k", dict(codes=codes, scales=scales, mins=mins, superScales=half(b, 0), superMins=half(b, 2))


def q5_k(b):
    scales, mins = scales_and_mins(b[..., 4:16])
    high = [b[..., 16:48] >> i & 1 for i in range(8)]  # bit i of byte l: column 32 i + l
    codes = nibbles_k(b[..., 48:]) | np.concatenate(high, -1) << 4
    return "q5k", dict(codes=codes, scales=scales, mins=mins, superScales=half(b, 0), superMins=half(b, 2))


def q6_k(b):
    low, high = b[..., :128], b[..., 128:192]
    codes = []
    for n in range(2):
        for group in range(4):
            nibble = low[..., n * 64 + group % 2 * 32 :][..., :32] >> (group // 2 * 4) & 15
            codes.append(nibble | (high[..., n * 32 :][..., :32] >> (2 * group) & 3) << 4)
    codes = np.concatenate(codes, -1).astype(np.int8) - np.int8(32)
    return "q6k", dict(codes=codes, scales=b[..., 192:208], superScales=half(b, 208))


KINDS = [  # type, offsets of its halves, unpacking
    (Type.Q4_0, [0], q4_0),
    (Type.Q4_1, [0, 2], q4_1),
    (Type.Q5_0, [0], q5_0),
    (Type.Q5_1, [0, 2], q5_1),
    (Type.Q8_0, [0], q8_0),
    (Type.Q4_K, [0, 2], q4_k),
    (Type.Q5_K, [0, 2], q5_k),
    (Type.Q6_K, [208], q6_k),
]


def nf4_levels():
    """8 quantiles below zero, 9 above it sharing the zero, of equal probability up to the paper's outermost one"""
    outermost = 0.9677083  # mean of 1 - 1/30 and 1 - 1/32
    inverse = NormalDist().inv_cdf
    above = [inverse(p) for p in np.linspace(outermost, 0.5, 9)[:-1]]
    below = [-inverse(p) for p in np.linspace(outermost, 0.5, 8)[:-1]]
    levels = sorted([*above, 0.0, *below])
    return [level / max(levels) for level in levels]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    rng = np.random.default_rng(SEED)
    cases = []
    for kind, halves, unpack in KINDS:
        blocks = random_blocks(rng, kind, halves)
        values = gguf.dequantize(blocks.reshape(ROWS, -1), kind)
        assert values.shape == (ROWS, COLS) and values.dtype == np.float32
        form, arrays = unpack(blocks)
        cases.append(
            {
                "type": kind.name,
                "blocks": text(blocks),
                "format": form,
                "arrays": {name: text(array) for name, array in arrays.items()},
                "values": text(values),
            }
        )
    vectors = {
        "made": {"script": "test/oracle/gguf_blocks.py", "gguf": version("gguf"), "numpy": version("numpy")},
        "rows": ROWS,
        "cols": COLS,
        "cases": cases,
        "nf4Levels": nf4_levels(),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "gguf-blocks.json").write_text(json.dumps(vectors, indent=1) + "\n")


main()
