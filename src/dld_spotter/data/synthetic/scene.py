"""The scene renderer: words, layout, background, paint and camera put together."""

from collections.abc import Sequence

import numpy as np

from dld_spotter.core.batches import Sample, TextInstances
from dld_spotter.data.synthetic.background import Backgrounds
from dld_spotter.data.synthetic.block import Typesetter
from dld_spotter.data.synthetic.degrade import Degradation
from dld_spotter.data.synthetic.fonts import FontBook
from dld_spotter.data.synthetic.layout import Layout, SceneLayout
from dld_spotter.data.synthetic.occlude import Occlusion
from dld_spotter.data.synthetic.paint import paint_block
from dld_spotter.data.synthetic.paste import PlacedCrop, paste_crop
from dld_spotter.data.synthetic.words import WordSource


class SceneRenderer:
    """Renders images with words; the same seed and index give the same image in every process.

    Args:
        seed: one seed is one endless data set.
        layout: sizes and arrangement of text; scenes of 512 x 512 pixels where None.
        words: source of words.
        fonts: source of fonts.
        backgrounds: source of backgrounds.
        degradation: camera; words lower than what it spares are marked ``ignore``.
        occlusion: what stands before the words; nothing where None.
        spacing: least and largest space between the words of a line in em. Photos have narrower ones than the default,
            see experiments/13_word_spacing.
    """

    def __init__(
        self,
        seed: int = 0,
        layout: Layout | None = None,
        words: WordSource | None = None,
        fonts: FontBook | None = None,
        backgrounds: Backgrounds | None = None,
        degradation: Degradation | None = None,
        occlusion: Occlusion | None = None,
        spacing: Sequence[float] = (0.25, 0.6),
    ) -> None:
        self.seed = seed
        self.layout = layout or SceneLayout()
        self.typesetter = Typesetter(words or WordSource(), fonts or FontBook(), spacing)
        self.backgrounds = backgrounds or Backgrounds()
        self.degradation = degradation or Degradation()
        self.occlusion = occlusion

    def render(self, index: int) -> Sample:
        """Render image ``index``; its name tells regime, seed and index."""
        rng = np.random.default_rng((self.seed, index))
        scene = self.layout.arrange(rng, self.typesetter)
        image = self.backgrounds.draw(rng, scene.height, scene.width)
        for placed in scene.blocks:
            (paste_crop if isinstance(placed, PlacedCrop) else paint_block)(rng, image, placed)
        polygons = [polygon for placed in scene.blocks for polygon in placed.polygons]
        texts = [text for placed in scene.blocks for text in placed.texts]
        hidden = self.occlusion.apply(rng, image, polygons, texts) if self.occlusion else [False] * len(polygons)
        heights = [_height(polygon) for polygon in polygons]
        image = self.degradation.apply(rng, image, min((h for h in heights if h >= self.degradation.min_height), default=32.0))
        unknown = [ignore for placed in scene.blocks for ignore in placed.ignore]
        low = [height < self.degradation.min_height for height in heights]
        ignore = [any(reasons) for reasons in zip(unknown, low, hidden, strict=True)]
        return Sample(image, TextInstances.of(polygons, texts, ignore), f"{scene.regime}_{self.seed}_{index}")


def _height(polygon: np.ndarray) -> float:
    """Mean distance of the two sides of a word ``(P, 2)``."""
    half = len(polygon) // 2
    across = polygon[:half] - polygon[: half - 1 : -1]
    return float(np.linalg.norm(across, axis=1).mean())
