"""The fate of every true word that counts, and of every prediction that counts: where end-to-end Hmean is lost.

A pure function of polygons and texts. It decides nothing that :mod:`dld_spotter.metrics.matching` has decided: a word is
read exactly where the protocol counts a match. Of the others it says why. The definitions are in ``docs/fates.md``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dld_spotter.core.geometry import polygons_to_boundaries, word_heights
from dld_spotter.core.instances import TextInstances
from dld_spotter.core.words import Word
from dld_spotter.metrics.lexicons import WordList
from dld_spotter.metrics.matching import ImageCounts, ImageMatch, match_image
from dld_spotter.metrics.protocols import Protocol, check_task, find_protocol
from dld_spotter.metrics.reliability import exact_case
from dld_spotter.metrics.rules import Rules

HALF = 0.5
"""Share of its area from which on a word is covered by a region, or a region lies in a word."""
PIECE = 0.1
"""Share of a true word that a region covers at least to be a piece of it."""
NEAR = 0.1
"""IoU below which a region has nothing to do with a word."""


class Fate(StrEnum):
    """What became of a true word that counts."""

    READ = "read"
    CASE = "case"
    SIGN = "sign"
    MISREAD_OWN = "misread_own"
    MISREAD_BOTH = "misread_both"
    MISREAD = "misread"
    MERGED = "merged"
    SPLIT = "split"
    OFF = "off"
    NOT_FOUND = "not_found"
    BELOW_SCORE = "below_score"
    UNMATCHED = "unmatched"

    @property
    def matched(self) -> bool:
        """Whether the protocol counts the word as a match."""
        return self in (Fate.READ, Fate.CASE)


class Claim(StrEnum):
    """What a prediction that counts is: a match, or false, and why."""

    MATCHED = "matched"
    OF_LOST_WORD = "of_lost_word"
    DUPLICATE = "duplicate"
    DONT_CARE = "dont_care"
    INVENTED = "invented"


@dataclass(frozen=True)
class Evidence:
    """What is known of one image with G true words.

    Args:
        truth: its true words.
        predictions: what was predicted, in the order in which the words compete.
        regions: what was found and read beside them: below the score, or with an empty text where nothing was read.
        boxes: per true word what is read from the truth's box; None where nobody knows.
    """

    truth: TextInstances
    predictions: Sequence[Word]
    regions: Sequence[Word] = ()
    boxes: Sequence[str] | None = None


@dataclass(frozen=True)
class TrueWord:
    """A true word that counts.

    Args:
        index: its place in the truth, from 0.
        text: as in the truth.
        fate: what became of it.
        height: mean distance between its two boundaries, pixels of the original image.
        region: its own region, as read: the prediction that it is paired with, else the best one; None where none is near.
        iou: with its own region, 0 without one.
        found: whether a region, whatever its score, has a larger IoU than the protocol asks for.
        right: whether it is found and its own region is read rightly.
        box: what is read from the truth's box, None where nobody knows.
        box_right: whether that is right.
        exact: whether a match is in the truth's case; None without a match, or where a lexicon has chosen the case.
    """

    index: int
    text: str
    fate: Fate
    height: float
    region: Word | None
    iou: float
    found: bool
    right: bool
    box: str | None
    box_right: bool | None
    exact: bool | None


@dataclass(frozen=True)
class Predicted:
    """A prediction that counts.

    Args:
        word: as predicted.
        claim: what it is.
        owner: place in the truth of the true word that it belongs to, from 0; None of an invented one.
    """

    word: Word
    claim: Claim
    owner: int | None


@dataclass(frozen=True)
class ImageFates:
    """The fates in one image: each true word and each prediction that counts, once."""

    words: tuple[TrueWord, ...]
    predictions: tuple[Predicted, ...]

    @property
    def counts(self) -> ImageCounts:
        """The counts of the protocol."""
        return ImageCounts(sum(word.fate.matched for word in self.words), len(self.predictions), len(self.words))


def find_fates(evidence: Evidence, rules: Rules, lexicon: WordList | None = None) -> ImageFates:
    """Say what became of the words of an image.

    Args:
        evidence: truth, predictions, further regions, and what is read from the truth's boxes.
        rules: protocol, task and IoU; its lexicon is not asked.
        lexicon: the words of this image, to which all readings are corrected first.

    Raises:
        ValueError: ``boxes`` are not one for each true word.
    """
    if evidence.boxes is not None and len(evidence.boxes) != len(evidence.truth):
        raise ValueError(f"boxes must be one for each of {len(evidence.truth)} true words, found {len(evidence.boxes)}")
    return _Image(evidence, rules, lexicon).fates()


def heights(truth: TextInstances) -> np.ndarray:
    """Height ``(G,)`` in pixels of true words: between their boundaries, of odd outlines that of the bounding box."""
    found = np.array([np.ptp(polygon[:, 1]) if len(polygon) else 0.0 for polygon in truth.polygons], float)
    usual = [k for k, polygon in enumerate(truth.polygons) if len(polygon) >= 4 and len(polygon) % 2 == 0]
    if usual:
        found[usual] = word_heights(polygons_to_boundaries([truth.polygons[k] for k in usual]))
    return found


def same_but_signs(truth: str, text: str) -> bool:
    """Whether two texts have the same letters and digits in the same order, and at least one.

    >>> same_but_signs("EXIT)", "exit"), same_but_signs("24h", "24"), same_but_signs("--", "")
    (True, False, False)
    """
    letters = ["".join(filter(str.isalnum, one.casefold())) for one in (truth, text)]
    return letters[0] == letters[1] != ""


class _Image:
    """One image, whose C candidates are the predictions that the lexicon keeps, those that it drops, and further regions.

    ``iou``, ``inside`` and ``covered`` are ``(G, C)``: intersection over union, share of the candidate in the true word, and
    share of the true word in the candidate.
    """

    def __init__(self, evidence: Evidence, rules: Rules, lexicon: WordList | None) -> None:
        self.truth, self.threshold = evidence.truth, rules.iou
        self.protocol: Protocol = find_protocol(rules.protocol)
        self.task, self.lexicon = check_task(rules.task), lexicon
        corrected = _correct(evidence.predictions, lexicon)
        kept = [k for k, text in enumerate(corrected) if text is not None]
        dropped = [k for k, text in enumerate(corrected) if text is None]
        self.words = [*(evidence.predictions[k] for k in (*kept, *dropped)), *evidence.regions]
        self.texts = [*(corrected[k] for k in (*kept, *dropped)), *_correct(evidence.regions, lexicon)]
        self.order, self.kept = kept, len(kept)
        self.shown = len(evidence.predictions)
        self.match: ImageMatch = match_image(
            self.truth, [evidence.predictions[k] for k in kept], self.protocol, self.task, self.threshold, lexicon
        )
        overlaps = match_image(self.truth, self.words, self.protocol)
        self.iou, self.inside = overlaps.iou, overlaps.inside
        regions = TextInstances.of([word.polygon for word in self.words], [""] * len(self.words))
        true_words = [Word(polygon, "", 1.0) for polygon in self.truth.polygons]
        self.covered = match_image(regions, true_words, self.protocol).inside.T
        self.within = match_image(regions, self.words, self.protocol).inside.T  # share of the row's area in the column
        self.heights = heights(self.truth)
        self.boxes = None
        if evidence.boxes is not None:
            read = [Word(polygon, text, 1.0) for polygon, text in zip(self.truth.polygons, evidence.boxes, strict=True)]
            self.boxes = [(word.text, text) for word, text in zip(read, _correct(read, lexicon), strict=True)]
        pairs, correct = self.match.pairs.tolist(), self.match.correct.tolist()
        self.pairs: dict[int, tuple[int, bool]] = {t: (w, right) for (t, w), right in zip(pairs, correct, strict=True)}

    def fates(self) -> ImageFates:
        counted = np.flatnonzero(~self.match.ignored_truth).tolist()
        words = {t: self._word(t) for t in counted}
        owners = {w: t for t, (w, _) in self.pairs.items()}
        predictions = {w: self._claim(w, owners.get(w), words) for w in np.flatnonzero(~self.match.ignored_words).tolist()}
        in_order = sorted(predictions, key=lambda w: self.order[w])
        return ImageFates(tuple(words.values()), tuple(predictions[w] for w in in_order))

    def _word(self, t: int) -> TrueWord:
        own = self._own(t)
        iou = 0.0 if own is None else float(self.iou[t, own])
        found = bool((self.iou[t] > self.threshold).any())
        right = own is not None and iou > self.threshold and self._right(t, self.texts[own])
        box = None if self.boxes is None else self.boxes[t][0]
        box_right = None if self.boxes is None else self._right(t, self.boxes[t][1])
        fate, exact = self._fate(t, own, right, box_right)
        region = None if own is None else self.words[own]
        text = self.truth.transcriptions[t]
        return TrueWord(t, text, fate, float(self.heights[t]), region, iou, found, right, box, box_right, exact)

    def _own(self, t: int) -> int | None:
        """The region of a true word: its pair, else the best prediction if that finds it, else the best of all, else None."""
        if t in self.pairs:
            return self.pairs[t][0]
        for ious, least in ((self.iou[t, : self.shown], self.threshold), (self.iou[t], 0.0)):
            if ious.size and ious.max() > least:
                return int(ious.argmax())
        return None

    def _right(self, t: int, text: str | None) -> bool:
        """Whether a text, which a lexicon may have dropped, is that of a true word."""
        task = "end_to_end" if self.task == "detection" else self.task
        return text is not None and self.protocol.same_text(self.match.truths[t], text, task)

    def _fate(self, t: int, own: int | None, right: bool, box_right: bool | None) -> tuple[Fate, bool | None]:
        """The fate of a true word, and whether it is in the truth's case; the first rule that holds decides."""
        pair, correct = self.pairs.get(t, (0, False))
        if correct:
            exact = None if self.task == "detection" else self._exact(t, pair)
            return (Fate.CASE if exact is False else Fate.READ), exact
        text = None if own is None else self.texts[own]
        found = own is not None and self.iou[t, own] > self.threshold
        if self.task == "detection":
            right = found
        if self._right_elsewhere(t):
            return Fate.UNMATCHED, None
        if right:
            return Fate.BELOW_SCORE, None
        if found and text is not None and same_but_signs(self.match.truths[t], text):
            return Fate.SIGN, None
        near = own is not None and self.iou[t, own] >= self._near
        if near and not found and self._right(t, text):
            return Fate.OFF, None
        if own is not None and self._merged(t, own):
            return Fate.MERGED, None
        if self._split(t):
            return Fate.SPLIT, None
        if found:
            return {None: Fate.MISREAD, True: Fate.MISREAD_OWN, False: Fate.MISREAD_BOTH}[box_right], None
        return (Fate.OFF if near else Fate.NOT_FOUND), None

    @property
    def _near(self) -> float:
        return min(NEAR, self.threshold / 2)

    def _exact(self, t: int, own: int) -> bool | None:
        """See :func:`exact_case`."""
        return exact_case(self.match.truths[t], self.words[own].text, self.texts[own])

    def _right_elsewhere(self, t: int) -> bool:
        """Whether a prediction finds and reads the word, and the protocol has not paired the two."""
        found = np.flatnonzero(self.iou[t, : self.kept] > self.threshold).tolist()
        return any(self.task == "detection" or self._right(t, self.texts[w]) for w in found)

    def _merged(self, t: int, own: int) -> bool:
        """Whether the word's own region covers it and another one, a don't-care word or not."""
        return self.covered[t, own] > HALF and int((self.covered[:, own] > HALF).sum()) > 1

    def _split(self, t: int) -> bool:
        """Whether at least two regions that lie in the word cover it in parts."""
        pieces: list[int] = []
        for k in np.argsort(-self.covered[t], kind="stable").tolist():
            fits = self.inside[t, k] > HALF and self.covered[t, k] >= PIECE
            if fits and all(max(self.within[k, other], self.within[other, k]) <= HALF for other in pieces):
                pieces.append(k)
        return len(pieces) > 1 and float(self.covered[t, pieces].sum()) > HALF

    def _claim(self, w: int, paired: int | None, words: dict[int, TrueWord]) -> Predicted:
        """What a prediction that counts is, and whose."""
        word = self.words[w]
        if paired is not None:
            return Predicted(word, Claim.MATCHED if words[paired].fate.matched else Claim.OF_LOST_WORD, paired)
        touching = (self.iou[:, w] >= self._near) | (self.inside[:, w] > HALF) | (self.covered[:, w] > HALF)
        touching &= self.iou[:, w] > 0
        near = sorted(np.flatnonzero(touching).tolist(), key=lambda t: -self.iou[t, w])
        lost = [t for t in near if t in words and words[t].region is word and not words[t].fate.matched]
        owner = next((t for t in [*lost, *near] if t in words), None)
        if owner is None:
            return Predicted(word, Claim.DONT_CARE if near else Claim.INVENTED, near[0] if near else None)
        return Predicted(word, Claim.DUPLICATE if words[owner].fate.matched else Claim.OF_LOST_WORD, owner)


def _correct(words: Sequence[Word], lexicon: WordList | None) -> list[str | None]:
    """The text of each word after the lexicon, None where that drops it, or where it would make a word of nothing."""
    if lexicon is None:
        return [word.text for word in words]
    written = [k for k, word in enumerate(words) if word.text]
    texts: list[str | None] = [None] * len(words)
    for k, corrected in zip(written, lexicon.correct([words[k] for k in written]), strict=True):
        texts[k] = None if corrected is None else corrected.text
    return texts
