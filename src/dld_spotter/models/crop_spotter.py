"""What families share that read words one by one, from crops along the boundaries of what was detected."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dld_spotter.core.batches import Recognition, Word, WordCrops
from dld_spotter.core.charset import PADDING
from dld_spotter.core.geometry import boundaries_to_polygon
from dld_spotter.models.contract import Features, FullResolution, Spotter
from dld_spotter.models.detections import Detections
from dld_spotter.models.proposals import Proposals
from dld_spotter.models.spaces import apart
from dld_spotter.models.vocabulary import boost_known_words, least_score, rescore
from dld_spotter.models.word_recognizer import WordRecognizer


class CropSpotter(Spotter):
    """Recognition by a :class:`~dld_spotter.models.word_recognizer.WordRecognizer`.

    The features are the view's pixels ``(B, 3, H, W)`` in 0..255, then maps at strides 4, 8 and 16 for recognisers that read
    features. A family with others overrides :meth:`cut`.

    Attributes:
        recognizer: reads the word crops.
        min_score: words read with less confidence (detection score times reading score, more for words of a vocabulary) are
            dropped.
        full_resolution_crops: take the pixels of words from the reference images where a view offers them: words are found
            at the view's resolution and read at the full one, which costs per word what it cost before.
        split_at_spaces: words that were found as one region are told apart by the spaces that are read between them.
    """

    recognizer: WordRecognizer
    min_score: float
    full_resolution_crops: bool
    split_at_spaces: bool = False

    @property
    def has_attention(self) -> bool:
        """See :class:`Spotter`."""
        return self.recognizer.has_attention

    def cut(self, features: Features, boundaries: Tensor, image_index: Tensor, full: FullResolution | None = None) -> WordCrops:
        """See :meth:`Spotter.cut`."""
        images, *pyramid = features
        if not self.full_resolution_crops or full is None:
            return self.recognizer.crop(images, boundaries, image_index, pyramid)
        image_boundaries = boundaries * full[1][image_index][:, None, None, :]
        return self.recognizer.crop(full[0], image_boundaries, image_index, pyramid, boundaries)

    def recognize_crops(self, crops: WordCrops, labels: Tensor) -> Recognition:
        """See :meth:`Spotter.recognize_crops`."""
        return self.recognizer(crops, labels)

    def weigh(self, context: Tensor, words: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`Spotter.weigh`."""
        return self.recognizer.weigh(context, words, labels)

    def beams(self, context: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """See :meth:`Spotter.beams`."""
        return self.recognizer.beams(context, count)

    @torch.inference_mode()
    def recognize(self, detections: Sequence[Detections], which: Sequence[np.ndarray]) -> list[list[Word]]:
        """See :meth:`Spotter.recognize`."""
        words: list[list[Word]] = [[] for _ in detections]
        counts = [len(kept) for kept in which]
        if not sum(counts):
            return words
        found = Proposals.joined([one.proposals.take(kept) for one, kept in zip(detections, which, strict=True)])
        owners = np.repeat(np.arange(len(detections)), counts)
        rows = torch.tensor([one.source.row for one in detections])
        _, features, full = detections[0].source
        min_score = detections[0].min_score
        images = slice(int(rows.min()), int(rows.max()) + 1)  # what cutting costs follows the number of images
        features = tuple(level[images].float() for level in features)  # detected in half precision, perhaps
        full = full and (full[0][images], full[1][images])
        boundaries = torch.from_numpy(found.boundaries).to(features[0].device)
        image_index = (rows - images.start)[owners].to(features[0].device)
        context = self.recognizer.encode(self.cut(features, boundaries, image_index, full)).float()
        with torch.autocast(context.device.type, enabled=False):  # what was encoded in half precision is decoded in single
            texts, scores = self._read(context)
            chosen = found.surest(scores, np.array([len(text) for text in texts]))
            regions = np.arange(len(found))
            if self.split_at_spaces:
                found, regions, context, texts, scores = self._apart(found, chosen, context, texts, scores)
                chosen = np.arange(len(found))
            scores = scores * found.scores
            sure = chosen[scores[chosen] >= least_score(min_score, self.vocabulary)]
            texts = self.rescore(context[sure], [texts[k] for k in sure])
        scores = boost_known_words(scores[sure], texts, self.vocabulary)
        proposals = np.concatenate(which)
        for k, text, score in zip(sure.tolist(), texts, scores.tolist(), strict=True):
            if text and score >= min_score:
                owner = owners[regions[k]]
                polygon = boundaries_to_polygon(found.boundaries[k] / detections[owner].factors)
                words[owner].append(Word(polygon, text, score, int(proposals[regions[k]])))
        return words

    def _read(self, context: Tensor) -> tuple[list[str], np.ndarray]:
        """Texts and scores ``(N,)`` of N encoded words."""
        labels, scores = self.recognizer.read(context)
        return [self.charset.decode(indices) for indices in labels.tolist()], scores.cpu().numpy()

    def _apart(
        self, found: Proposals, chosen: np.ndarray, context: Tensor, texts: list[str], scores: np.ndarray
    ) -> tuple[Proposals, np.ndarray, Tensor, list[str], np.ndarray]:
        """Tell the words of the ``chosen`` ``(M,)`` regions apart at spaces.

        Returns:
            places, the region ``(R,)`` that each is or is a part of, context, texts and scores ``(R,)``.
        """
        recognizer = self.recognizer
        told = apart(found, chosen, texts, lambda rows: recognizer.paths(context[rows]), self.charset, recognizer.margin)
        parts = context.new_zeros(len(told.parts), *context.shape[1:])
        for row, part in zip(parts, told.parts, strict=True):
            row[: part.end - part.start] = context[part.region, part.start : part.end]
        read, sure = self._read(parts) if len(parts) else ([], scores[:0])
        kept = [texts[k].strip() for k in told.rest]
        every = torch.cat([context[told.rest], parts])
        return told.places, told.regions, every, kept + read, np.concatenate([scores[told.rest], sure])

    @torch.inference_mode()
    def rescore(self, context: Tensor, texts: list[str]) -> list[str]:
        """Weigh what was read in N words against the vocabulary, where there is one."""
        if self.vocabulary is None:
            return texts

        def weigh(words: np.ndarray, labels: np.ndarray) -> np.ndarray:
            longest = int((labels != PADDING).sum(1).max())
            tried = (torch.from_numpy(part).to(context.device) for part in (words, labels[:, :longest]))
            return self.weigh(context, *tried).cpu().numpy()

        return rescore(texts, self.vocabulary, self.charset, self.recognizer.max_length + 1, weigh)
