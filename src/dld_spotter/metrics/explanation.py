"""Says of every word of an image what the protocol decided, and by which rule."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dld_spotter.core.instances import TextInstances
from dld_spotter.core.words import Word
from dld_spotter.metrics.lexicons import WordList
from dld_spotter.metrics.matching import ImageMatch, match_image
from dld_spotter.metrics.protocols import Protocol, Task, find_protocol

Outcome = Literal["matched", "misread", "missed", "extra", "ignored", "dropped"]


@dataclass(frozen=True)
class Verdict:
    """What became of one true word or one prediction.

    Args:
        side: ``truth`` or ``prediction``.
        index: its place in the file, from 1; confident predictions come first where there are confidences.
        text: as in the file.
        outcome: ``matched``; ``misread`` (paired, but the texts differ); ``missed`` (a true word) or ``extra`` (a
            prediction) without a partner; ``ignored`` (not counted); ``dropped`` (by the lexicon, not counted).
        partner: place of the word it is paired with, or that the reason names.
        iou: with the partner.
        reason: the rule that decided, in words.
    """

    side: Literal["truth", "prediction"]
    index: int
    text: str
    outcome: Outcome
    partner: int | None
    iou: float | None
    reason: str


def explain_image(
    truth: TextInstances,
    words: Sequence[Word],
    protocol: str | Protocol = "rrc",
    task: Task = "end_to_end",
    iou: float = 0.5,
    lexicon: WordList | None = None,
) -> list[Verdict]:
    """Explain what :func:`dld_spotter.metrics.matching.match_image` decides, true words first, in file order."""
    protocol = find_protocol(protocol)
    corrected = lexicon.correct(words) if lexicon else list(words)
    kept = np.array([i for i, word in enumerate(corrected) if word is not None], int)
    match = match_image(truth, [corrected[i] for i in kept], protocol, task, iou)
    lost = np.setdiff1d(np.arange(len(words)), kept)
    lost_iou = match_image(truth, [words[i] for i in lost], protocol).iou
    image = _Image(truth, words, match, kept, lost, lost_iou, protocol, task, iou)
    by_word = {int(i): place for place, i in enumerate(kept)}
    verdicts = [image.of_truth(t) for t in range(len(truth))]
    for i, word in enumerate(words):
        verdicts.append(image.of_word(by_word[i]) if i in by_word or not lexicon else _dropped(i, word, lexicon))
    return verdicts


def _dropped(i: int, word: Word, lexicon: WordList) -> Verdict:
    ((nearest, distance),) = lexicon.nearest([word.text])
    reason = f'not in the lexicon: the nearest word, "{nearest}", is {distance} edits away'
    return Verdict("prediction", i + 1, word.text, "dropped", None, None, reason)


@dataclass(frozen=True)
class _Image:
    """One image after matching.

    Args:
        truth: its true words.
        words: its predictions, as in the file.
        match: of the predictions that the lexicon kept.
        kept: ``(D,)`` int, the place among ``words`` of each of them.
        lost: ``(L,)`` int, the places of those that it dropped.
        lost_iou: ``(G, L)`` of those.
        protocol: the rules.
        task: what counts as a match.
        threshold: a pair needs a larger IoU.
    """

    truth: TextInstances
    words: Sequence[Word]
    match: ImageMatch
    kept: np.ndarray
    lost: np.ndarray
    lost_iou: np.ndarray
    protocol: Protocol
    task: Task
    threshold: float

    def of_truth(self, t: int) -> Verdict:
        """Verdict on a true word."""
        if self.match.ignored_truth[t]:
            marked = "don't care: ### in the ground truth"
            return self._truth(t, "ignored", None, marked if self.truth.ignore[t] else "don't care: no dictionary word")
        found = np.flatnonzero(self.match.pairs[:, 0] == t)
        if len(found):
            return self._truth(t, *self._pair(found[0]))
        return self._truth(t, "missed", *self._why_missed(t))

    def of_word(self, w: int) -> Verdict:
        """Verdict on a prediction that the lexicon kept."""
        inside = np.where(self.match.ignored_truth, self.match.inside[:, w], -1)
        if self.match.ignored_words[w]:
            t = int(inside.argmax())
            reason = f"{inside[t]:.3g} of its area lies in don't-care region {t + 1}"
            return self._word(w, "ignored", t, f"{reason}, more than {self.protocol.area_threshold(self.threshold):g}")
        found = np.flatnonzero(self.match.pairs[:, 1] == w)
        if len(found):
            outcome, _, reason = self._pair(found[0])
            return self._word(w, outcome, int(self.match.pairs[found[0], 0]), reason)
        return self._word(w, "extra", *self._why_extra(w, inside))

    def _pair(self, pair: int) -> tuple[Outcome, int, str]:
        t, w = self.match.pairs[pair].tolist()
        if self.task == "detection":
            return "matched", w, "found"
        truth, text = self.match.truths[t], self.match.words[w].text
        if not self.match.correct[pair]:
            return "misread", w, f'text differs: "{text}" instead of "{truth}"'
        if truth.upper() != text.upper():
            return "matched", w, f'read, as punctuation at the ends of "{truth}" may be missing'
        return "matched", w, "read" if self.match.truths[t] == self.truth.transcriptions[t] else f'read, reduced to "{truth}"'

    def _why_missed(self, t: int) -> tuple[int | None, str]:
        row = self.match.iou[t]
        near = np.flatnonzero(row > self.threshold)
        dropped = np.flatnonzero(self.lost_iou[t] > self.threshold)
        if not len(near) and len(dropped):
            return None, f"prediction {self.lost[dropped[0]] + 1} would fit but was dropped by the lexicon"
        if not len(near):
            return self._too_little(row, "prediction", self._place)
        w = int(near[row[near].argmax()])
        if self.match.ignored_words[w]:
            return w, f"prediction {self._place(w)} would fit but lies in a don't-care region"
        taken = self._partner(1, w)
        return w, f"prediction {self._place(w)} would fit but was taken by true word {taken + 1}, which comes first"

    def _why_extra(self, w: int, inside: np.ndarray) -> tuple[int | None, str]:
        column = np.where(self.match.ignored_truth, 0, self.match.iou[:, w])
        near = np.flatnonzero(column > self.threshold)
        if len(near):
            t = int(near[column[near].argmax()])
            taken = self._place(self._partner(0, t))
            return t, f"true word {t + 1} would fit but had taken prediction {taken}, which comes first"
        if inside.max(initial=0) > 0:
            t, share = int(inside.argmax()), f"{inside.max():.3g} of its area"
            bound = f"{self.protocol.area_threshold(self.threshold):g}"
            best = f", IoU with any word at most {column.max():.3g}" if column.any() else ""
            return t, f"{share} lies in don't-care region {t + 1}, which is not above {bound}{best}"
        return self._too_little(column, "true word", lambda t: t + 1)

    def _too_little(self, ious: np.ndarray, side: str, place: Callable[[int], int]) -> tuple[int | None, str]:
        if not ious.any():
            return None, f"no {side} overlaps it"
        best = int(ious.argmax())
        return best, f"IoU {ious[best]:.3g} with {side} {place(best)}, the best, is not above {self.threshold:g}"

    def _partner(self, side: int, index: int) -> int:
        return int(self.match.pairs[self.match.pairs[:, side] == index, 1 - side][0])

    def _place(self, w: int) -> int:
        return int(self.kept[w]) + 1

    def _truth(self, t: int, outcome: Outcome, w: int | None, reason: str) -> Verdict:
        partner, iou = (None, None) if w is None else (self._place(w), float(self.match.iou[t, w]))
        return Verdict("truth", t + 1, self.truth.transcriptions[t], outcome, partner, iou, reason)

    def _word(self, w: int, outcome: Outcome, t: int | None, reason: str) -> Verdict:
        partner, iou = (None, None) if t is None else (t + 1, float(self.match.iou[t, w]))
        i = int(self.kept[w])
        if self.words[i].text != self.match.words[w].text:
            reason += f' (the lexicon made it "{self.match.words[w].text}")'
        return Verdict("prediction", i + 1, self.words[i].text, outcome, partner, iou, reason)


def differences(verdicts: Mapping[str, Sequence[Verdict]]) -> list[dict[str, Any]]:
    """Words of an image on which protocols differ.

    Args:
        verdicts: protocol -> what :func:`explain_image` says of the same words.

    Returns:
        per word ``side``, ``index``, ``text`` and ``verdicts``: protocol -> ``[outcome, reason]``.
    """
    return [
        {
            "side": row[0].side,
            "index": row[0].index,
            "text": row[0].text,
            "verdicts": {name: [verdict.outcome, verdict.reason] for name, verdict in zip(verdicts, row, strict=True)},
        }
        for row in zip(*verdicts.values(), strict=True)
        if len({verdict.outcome for verdict in row}) > 1
    ]
