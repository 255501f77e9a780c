"""The rules by which published end-to-end figures are counted, one class per evaluation script.

What all of them share (:mod:`dld_spotter.metrics.matching` does it):

1. A true word that is ``###`` is a don't-care region. In word spotting so is every word that is no dictionary word.
2. A prediction of which more than ``area_threshold`` of its own area lies in one don't-care region is not counted.
3. True words in file order each take the first free prediction, in file order, whose IoU is above the threshold;
   equal to the threshold is not enough. The pair is spent even where the texts differ.
4. In detection every pair is a match; in the two reading tasks only one whose texts agree.
5. Precision, recall and Hmean come from the counts summed over all images.

Sources: the ICDAR Robust Reading Competition scripts of 2015 (tasks 4.1 and 4.4), the Total-Text variant in AdelaiDet
and DeepSolo, and the evaluation of the DLD authors in DAVAR-Lab-OCR.
"""

import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from dld_spotter.core.errors import ConfigError

Task = Literal["detection", "end_to_end", "word_spotting"]
TASKS: tuple[Task, ...] = get_args(Task)

PUNCTUATION = "'!?.:,*\"()·[]/"
_TO_SPACES = str.maketrans(dict.fromkeys(PUNCTUATION, " "))
_DICTIONARY_WORD = re.compile("[A-Za-zÀ-ÖØ-öø-ƿǄ-ɿ\u0386\u0388-Ͽ-]{3,}")


@dataclass(frozen=True)
class Protocol:
    """ICDAR Robust Reading: corners are whole pixels, don't-care regions are judged at half of the prediction's area.

    Subclasses change a rule by overriding the attribute or the method that states it.
    """

    name: str = "rrc"
    tolerated: str = PUNCTUATION

    def corners(self, polygons: np.ndarray) -> np.ndarray:
        """Bring ``(P, 2)`` points to the precision the script reads; its files hold integers, so others are rounded."""
        rounded: np.ndarray = np.rint(polygons)
        return rounded

    def area_threshold(self, iou: float) -> float:
        """Share of a prediction's area above which a don't-care region swallows it."""
        del iou
        return 0.5

    def same_text(self, truth: str, text: str, task: Task) -> bool:
        """Whether the text read is right, upper and lower case being one.

        In end-to-end recognition a true word may lose one punctuation mark at its start, at its end, or at both; in
        word spotting the true word has been reduced by :func:`dictionary_form` and texts must be equal.
        """
        truth, text = truth.upper(), text.upper()
        if truth == text:
            return True
        if task == "word_spotting" or not truth:
            return False
        first, last = truth[0] in self.tolerated, truth[-1] in self.tolerated
        return (first and truth[1:] == text) or (last and truth[:-1] == text) or (first and last and truth[1:-1] == text)


@dataclass(frozen=True)
class TotalTextProtocol(Protocol):
    """Total-Text and CTW1500 as AdelaiDet and DeepSolo score them: polygons of any length, fractions of pixels kept."""

    name: str = "totaltext"

    def corners(self, polygons: np.ndarray) -> np.ndarray:
        """Keep points as they are, in single precision."""
        return polygons


@dataclass(frozen=True)
class DavarProtocol(Protocol):
    """The DLD authors' script: the IoU threshold is also the don't-care threshold, and a space counts as punctuation.

    Their figures use ``iou=0.1`` and four digits.
    """

    name: str = "davar"
    tolerated: str = PUNCTUATION + " "

    def area_threshold(self, iou: float) -> float:
        """The IoU threshold."""
        return iou


PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in (Protocol(), TotalTextProtocol(), DavarProtocol())}


def find_protocol(name: str | Protocol) -> Protocol:
    """Look a protocol up by name; raises :class:`ConfigError` on an unknown one."""
    if isinstance(name, Protocol):
        return name
    if name not in PROTOCOLS:
        raise ConfigError(f"protocol={name} is unknown; choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def check_task(task: str) -> Task:
    """Return ``task`` if there is such a task, else raise :class:`ConfigError`."""
    for known in TASKS:
        if task == known:
            return known
    raise ConfigError(f"task={task} is unknown; choose one of {', '.join(TASKS)}")


def dictionary_form(transcription: str) -> str | None:
    """Reduce a true word to the form that word spotting compares, or None where it is no dictionary word.

    A final 's and outer hyphens go, punctuation becomes spaces, outer spaces go. What is left must be one run of at
    least three letters (Latin or Greek) or hyphens; words with digits or inner punctuation become don't-care regions.

    >>> dictionary_form("(Joe's"), dictionary_form("A-B"), dictionary_form("24h"), dictionary_form("P.O.")
    ('Joe', 'A-B', None, None)
    """
    reduced = transcription[:-2] if transcription.endswith(("'s", "'S")) else transcription
    reduced = reduced.strip("-").translate(_TO_SPACES).strip()
    return reduced if _DICTIONARY_WORD.fullmatch(reduced) else None
