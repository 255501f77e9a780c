"""What the fates of words add up to: Hmean that each costs, shares by kind of word, and how far scores can be believed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import inf
from typing import Any

import numpy as np

from dld_spotter.core.hmean import hmean
from dld_spotter.metrics.fates import Claim, Fate, ImageFates, TrueWord
from dld_spotter.metrics.matching import Hmean, ImageCounts
from dld_spotter.metrics.reliability import Reliability

HEIGHTS = (0, 10, 15, 20, 30, 50, inf)
"""Where bins of heights begin and end, pixels of the original image."""
LENGTHS = (1, 3, 5, 8, 12, inf)
"""The same of lengths, characters."""
CLOSE = 0.8
"""IoU from which on a region is said to fit."""


@dataclass(frozen=True)
class Cost:
    """What a fate costs.

    Args:
        fate: of true words, or a claim of false predictions.
        words: true words of that fate.
        share: of the true words that count.
        false: predictions that belong to them and are no match; or those of that claim.
        mended: Hmean if that fate alone were mended.
        cost: how much more that is.
    """

    fate: str
    words: int
    share: float
    false: int
    mended: float
    cost: float


@dataclass(frozen=True)
class Shares:
    """How well a group of true words is found and read; None where nobody knows or there is none.

    Args:
        group: its name.
        words: true words that count.
        found: share that a region finds, whatever its score.
        own: of those found, share read rightly from their own region.
        box: share read rightly from the truth's box.
        read: share that is a match.
    """

    group: str
    words: int
    found: float | None
    own: float | None
    box: float | None
    read: float | None


@dataclass(frozen=True)
class FateReport:
    """Everything that is told of a data set.

    Args:
        total: precision, recall, Hmean.
        counts: behind them.
        costs: of every fate of true words, then of every claim of false predictions.
        overall: all words.
        close: share of found words whose own region has an IoU of at least ``CLOSE``.
        exact: of the matches whose case is known, share in the truth's case.
        groups: by ``height``, ``length``, ``kind`` and ``case``.
        reliability: of scores; None where predictions have none.
    """

    total: Hmean
    counts: ImageCounts
    costs: tuple[Cost, ...]
    overall: Shares
    close: float | None
    exact: float | None
    groups: dict[str, tuple[Shares, ...]]
    reliability: Reliability | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"counts": self.counts._asdict()}


def summarize(images: Iterable[ImageFates], scored: bool = True) -> FateReport:
    """Add up the fates of all images.

    Args:
        images: fates in each.
        scored: whether predictions have scores.
    """
    images = list(images)
    words = [word for image in images for word in image.words]
    predictions = [one for image in images for one in image.predictions]
    counts = ImageCounts(*np.sum([ImageCounts(), *(image.counts for image in images)], axis=0).tolist())
    scores = np.array([(one.word.score, one.claim is Claim.MATCHED) for one in predictions], float).reshape(-1, 2)
    found, cases = [word.iou for word in words if word.found], [word.exact for word in words if word.exact is not None]
    return FateReport(
        Hmean.of([counts]),
        counts,
        tuple(_costs(images, counts)),
        _shares("all", words),
        _mean([iou >= CLOSE for iou in found]),
        _mean(cases),
        {name: tuple(_grouped(words, *how)) for name, how in GROUPS.items()},
        Reliability.of(scores) if scored else None,
    )


def _costs(images: Sequence[ImageFates], counts: ImageCounts) -> list[Cost]:
    """A mended word is matched by a prediction of its own; the false ones that belonged to words of its fate are gone."""
    words, false = dict.fromkeys(Fate, 0), dict.fromkeys([*Fate, *Claim], 0)
    for image in images:
        fates = {word.index: word.fate for word in image.words}
        for word in image.words:
            words[word.fate] += 1
        for one in image.predictions:
            false[fates[one.owner] if one.claim is Claim.OF_LOST_WORD and one.owner is not None else one.claim] += 1
    now = float(hmean(*counts))

    def cost(name: Fate | Claim, lost: int, share: float, gone: int) -> Cost:
        more = 0 if isinstance(name, Fate) and name.matched else lost
        mended = float(hmean(counts.matched + more, counts.predicted - gone + more, counts.true))
        return Cost(str(name), lost, share, gone, mended, mended - now)

    of_words = [cost(fate, words[fate], words[fate] / max(counts.true, 1), false[fate]) for fate in Fate]
    return of_words + [cost(claim, 0, 0.0, false[claim]) for claim in (Claim.DUPLICATE, Claim.DONT_CARE, Claim.INVENTED)]


def kind_of(text: str) -> str:
    """What a word is made of.

    >>> [kind_of(text) for text in ("exit", "2024", "A4", "Joe's", "&")]
    ['letters', 'digits', 'letters and digits', 'with signs', 'with signs']
    """
    if not text.isalnum():
        return "with signs"
    if text.isalpha():
        return "letters"
    return "letters and digits" if any(map(str.isalpha, text)) else "digits"


def case_of(text: str) -> str:
    """In which case the letters of a word are.

    >>> [case_of(text) for text in ("EXIT", "exit", "Exit", "eXit", "24")]
    ['upper', 'lower', 'capitalised', 'mixed', 'no letters']
    """
    letters = "".join(filter(str.isalpha, text))
    if not letters:
        return "no letters"
    if letters.isupper():
        return "upper"
    if letters.islower():
        return "lower"
    return "capitalised" if letters[0].isupper() and letters[1:].islower() else "mixed"


def _bin(edges: Sequence[float], unit: str = "") -> tuple[Callable[[float], str], list[str]]:
    """Names of bins, and which of them a number is in."""
    names = []
    for low, high in pairwise(edges):
        last = f"{high:g}" if unit else f"{high - 1:g}"  # of whole numbers, the last one inside
        names.append(
            f"{low:g}{unit} or more" if high == inf else f"{low:g} to {last}{unit}" if low else f"below {high:g}{unit}"
        )
    return lambda value: names[int(np.searchsorted(edges[1:-1], value, side="right"))], names


_height, _height_names = _bin(HEIGHTS, " px")
_length, _length_names = _bin(LENGTHS)
GROUPS: dict[str, tuple[Callable[[TrueWord], str], Sequence[str]]] = {
    "height": (lambda word: _height(word.height), _height_names),
    "length": (lambda word: _length(len(word.text)), _length_names),
    "kind": (lambda word: kind_of(word.text), ("letters", "digits", "letters and digits", "with signs")),
    "case": (lambda word: case_of(word.text), ("upper", "lower", "capitalised", "mixed", "no letters")),
}
"""Group -> which bin of it a word is in, and all of its bins in order."""


def _grouped(words: Sequence[TrueWord], bin_of: Callable[[TrueWord], str], names: Sequence[str]) -> list[Shares]:
    members: dict[str, list[TrueWord]] = {name: [] for name in names}
    for word in words:
        members[bin_of(word)].append(word)
    return [_shares(name, members[name]) for name in names]


def _shares(name: str, words: Sequence[TrueWord]) -> Shares:
    return Shares(
        name,
        len(words),
        _mean([word.found for word in words]),
        _mean([word.right for word in words if word.found]),
        _mean([word.box_right for word in words if word.box_right is not None]),
        _mean([word.fate.matched for word in words]),
    )


def _mean(values: Sequence[bool]) -> float | None:
    return float(np.mean(values)) if len(values) else None
