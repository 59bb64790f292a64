"""Writes test/vectors/judge/vectors.json: ROUGE-L and BLEU by rouge-score 0.1.2 and sacrebleu 2.6.0.

python test/oracle/judge_vectors.py --out test/vectors/judge
"""

import argparse
import json
import random
from pathlib import Path

from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU

# Word list of the stems: every rule of the algorithm, its exceptions, and words of no language.
WORDS = """caresses ponies ties caress cats flies dies died spied feed agreed plastered bled motoring sing conflated
troubled sized hopping tanned falling hissing fizzed failing filing happy sky skies enjoy spy by say syzygy relational
conditional rational valenci hesitanci digitizer conformabli radically radicalli differentli vileli analogousli
vietnamization predication operator feudalism decisiveness hopefulness callousness formaliti sensitiviti sensibiliti
hopefully geology archaeology theological triplicate formative formalize electriciti electrical hopeful goodness
revival allowance inference airliner gyroscopic adjustable defensible irritant replacement adjustment dependent
adoption homologou communism activate angulariti homologous effective bowdlerize probate rate cease controll roll
news inning innings outing cannings howe proceed exceed succeed dying lying tying generalization oscillators
yyyy yes toy trying boxed played aed ing eed ion wing thing restaurants families friendly located riverside
rating cheap expensive moderately customers coffee french 2020s a1ing""".split()

PAIRS = [
    ("The quick brown fox jumps over the lazy dog", ["The quick brown dog jumps on the log."]),
    ("A coffee shop in the city centre called Blue Spice.",
     ["A coffee shop in the city centre area called Blue Spice.", "Blue Spice is a coffee shop in city centre."]),
    ("Loch Fyne is a family-friendly restaurant serving wines and cheeses at a modest cost.",
     ["Loch Fyne is for a family and Strada is not.", "Wines and cheeses are served at Loch Fyne, cheaply."]),
    ("", ["Nothing was said."]),
    ("Entirely different words", ["none of these match"]),
    ("It costs $1,234.50, i.e. 3.5% more - or 10-12 euros; isn't it?",
     ["It costs $1234.50 (3.5% more), or 10-12 euros, isn't it?", "That is 3.5% too much."]),
    ("Er sagte: „Das Café heißt 'Zoë'.“", ["Er sagte, das Café heiße “Zoë”."]),
    ("&quot;Tom &amp; Jerry&quot; &lt;skipped> line-\nbreak\nnext", ['"Tom & Jerry" <skipped> linebreak next']),
    ("the the the the", ["the cat the dog", "the the"]),
    ("running runners ran easily relational conditional", ["run runner runs easy relation condition"]),
    ("東京 は 大きい、です。 yes", ["東京は大きいです。 yes"]),
    ("one", ["one"]),
    ("x^2 + y_1 = {a|b} ~ `c` @d #e [f] \\ g/h", ["x^2+y_1={a|b}~`c`@d#e[f]\\g/h"]),
]


def random_pairs(count: int) -> list[tuple[str, list[str]]]:
    """Short sentences over a small vocabulary: many repeated words, so that clipping and ties happen."""
    rng = random.Random(7)
    words = WORDS[:12] + ["the", "a", ",", ".", "5.00", "10", "-", "Blue", "blue"]
    sentence = lambda: " ".join(rng.choice(words) for _ in range(rng.randint(1, 14)))
    return [(sentence(), [sentence() for _ in range(rng.randint(1, 4))]) for _ in range(count)]


def corpora(pairs: list[tuple[str, list[str]]]) -> dict[str, list[tuple[str, list[str]]]]:
    return {
        "all": pairs,
        "written": PAIRS,
        "oneReference": [(answer, references[:1]) for answer, references in pairs],
        "noMatch": [PAIRS[4]],
        "shorterThanFour": [("one two", ["one two"])],
        "fewMatches": [("Blue Spice of the north", ["Blue cheese of a Spice"])],
        "empty": [PAIRS[3]],
    }


def bleu(pairs: list[tuple[str, list[str]]]) -> dict[str, object]:
    most = max(len(references) for _, references in pairs)
    streams = [[refs[i] if i < len(refs) else None for _, refs in pairs] for i in range(most)]
    score = BLEU().corpus_score([answer for answer, _ in pairs], streams)
    return {
        "score": score.score,
        "precisions": score.precisions,
        "brevityPenalty": score.bp,
        "answerWords": score.sys_len,
        "referenceWords": score.ref_len,
    }


def rouge(answer: str, references: list[str], stem: bool) -> list[float]:
    best = RougeScorer(["rougeL"], use_stemmer=stem).score_multi(references, answer)["rougeL"]
    return [best.precision, best.recall, best.fmeasure]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    pairs = PAIRS + random_pairs(40)
    vectors = {
        "stems": {word: PorterStemmer().stem(word) for word in WORDS},
        "rouge": [
            {"answer": answer, "references": refs, "plain": rouge(answer, refs, False), "stemmed": rouge(answer, refs, True)}
            for answer, refs in pairs
        ],
        "bleu": {
            name: {"pairs": [list(pair) for pair in chosen], "expected": bleu(chosen)}
            for name, chosen in corpora(pairs).items()
            if name != "all"
        },
        "bleuOfRougePairs": bleu(pairs),
    }
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(vectors, ensure_ascii=False, separators=(",", ":"))
    (out / "vectors.json").write_text(text.replace('{"answer"', '\n{"answer"').replace('"bleu', '\n"bleu') + "\n")


if __name__ == "__main__":
    main()
