"""Pasting real word crops into an image: their size and pose, their colours, the seam."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from dld_spotter.core.errors import ConfigError
from dld_spotter.data.synthetic.crops import Crop, CropSource
from dld_spotter.data.synthetic.surface import Plane, enclose

QUAD_MARGIN = 0.12  # of a word's height, kept around a word that is cut out along its quad
SIGN_MARGIN = (0.1, 0.7)  # of a word's height, width of a margin around the crop
LEAST_COVER = 0.6  # share of a crop that its word fills; below it, the rest shows neighbours and is cut away


@dataclass(frozen=True)
class PlacedCrop:
    """A crop on a plane whose origin is the crop's middle.

    Args:
        crop: what is pasted.
        plane: maps surface units to image pixels.
        scale: surface units per pixel of the crop.
        margin: width of the margin in the crop's colours that is added around it, pixels of the crop.
    """

    crop: Crop
    plane: Plane
    scale: float
    margin: int = 0

    @property
    def texts(self) -> tuple[str, ...]:
        """The words of the crop."""
        return self.crop.texts

    @property
    def ignore(self) -> tuple[bool, ...]:
        """Whether each word is don't-care."""
        return self.crop.ignore

    @property
    def polygons(self) -> list[np.ndarray]:
        """The words' quads in image pixels."""
        middle = np.array(self.crop.image.shape[1::-1]) / 2
        return [self.plane.project(self.scale * (quad - middle)) for quad in self.crop.quads]

    @property
    def em(self) -> float:
        """Height of the words in surface units, as a measure for distances."""
        return self.scale * self.crop.height

    def outline(self) -> np.ndarray:
        """The corners of what is pasted, ``(4, 2)`` image pixels."""
        height, width = self.crop.image.shape[:2]
        x, y = self.scale * (width / 2 + self.margin), self.scale * (height / 2 + self.margin)
        return self.plane.outline((-x, -y, x, y))

    def moved(self, x: float, y: float) -> "PlacedCrop":
        """Return the crop shifted by ``(x, y)`` image pixels."""
        return replace(self, plane=self.plane.moved(x, y))


class CropPaste:
    """Draws crops, how large and in which pose they are pasted.

    Args:
        source: the crops.
        share: of an image's words that are real crops.
        scale: smallest and largest factor of size, drawn evenly in its logarithm.
        rotation: standard deviation of the angle in degrees; no angle is larger than three of it.
        margin_probability: share of crops that get a margin in their own colours around them, like a sign.
    """

    def __init__(
        self,
        source: CropSource,
        share: float = 1.0,
        scale: Sequence[float] = (0.5, 3.0),
        rotation: float = 3.0,
        margin_probability: float = 0.4,
    ) -> None:
        if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
            raise ConfigError(f"crops.scale must be two factors above 0 in order, found {list(scale)}")
        if not (0 <= share <= 1 and 0 <= margin_probability <= 1):
            raise ConfigError(
                f"crops.share and crops.margin_probability must lie in 0..1, found {share} and {margin_probability}"
            )
        self.source, self.share, self.scale = source, share, tuple(scale)
        self.rotation, self.margin_probability = math.radians(rotation), margin_probability

    def draw(
        self, rng: np.random.Generator, room: tuple[float, float], heights: tuple[float, float] = (0.0, math.inf)
    ) -> PlacedCrop | None:
        """Draw a crop around the image's origin.

        Args:
            rng: source of randomness.
            room: largest width and height of what is pasted, pixels.
            heights: least and largest height of the word, pixels; the factor of size stays within its limits, too.

        Returns:
            A crop, or None where the one that was drawn does not fit.
        """
        crop = self.source.draw(rng, (heights[0] / self.scale[1], heights[1] / self.scale[0]))
        if crop is None:
            return None
        native = crop.height
        low, high = max(self.scale[0], heights[0] / native), min(self.scale[1], heights[1] / native)
        if low > high:
            return None
        scale = low * (high / low) ** rng.random()
        sign = rng.random() < self.margin_probability and crop.cover is None and _cover_share(crop) >= LEAST_COVER
        margin = int(rng.uniform(*SIGN_MARGIN) * native) if sign else 0
        placed = PlacedCrop(crop, self._pose(rng, scale * max(crop.image.shape)), scale, margin)
        shrink = min(1.0, float((np.array(room) / np.ptp(placed.outline(), axis=0)).min()))
        return replace(placed, scale=scale * shrink) if scale * shrink >= low else None

    def _pose(self, rng: np.random.Generator, side: float) -> Plane:
        """Draw a pose for a crop whose long side has so many pixels."""
        angle = float(np.clip(rng.normal(0, self.rotation), -3 * self.rotation, 3 * self.rotation))
        if rng.random() < 0.4:
            return Plane.posed(angle)
        tilt = rng.uniform(-0.15, 0.15, 2) / side
        return Plane.posed(angle, float(rng.uniform(-0.15, 0.15)), float(rng.uniform(0.8, 1.15)), (tilt[0], tilt[1]))


def paste_crop(rng: np.random.Generator, image: np.ndarray, placed: PlacedCrop) -> None:
    """Paste a crop into ``image`` ``(H, W, 3)`` uint8, in place."""
    x, y, width, height = window = enclose(image, placed.outline())
    if width <= 0 or height <= 0:
        return
    patch, cover = _recolour(rng, placed.crop.image), _draw_cover(rng, placed)
    if placed.margin:
        patch = _with_margin(patch, placed.margin)
    full = patch.shape[1::-1]
    if placed.scale < 1:
        size = tuple(max(round(placed.scale * side), 1) for side in full)
        patch, cover = (cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (patch, cover))
    rows, columns = cover.shape
    # Colours weighted by their cover are resampled with it, so that nothing from outside the crop bleeds in.
    weighted = cv2.merge([cv2.multiply(patch, cv2.merge([cover] * 3), scale=1 / 255), cover])
    surface = placed.plane.stretched(placed.scale * full[0] / columns, placed.scale * full[1] / rows)
    warped = surface.warp(weighted, 1.0, (-columns / 2, -rows / 2), window)
    region = image[y : y + height, x : x + width]
    behind = cv2.multiply(region, cv2.merge([255 - warped[..., 3]] * 3), scale=1 / 255)
    region[:] = cv2.add(behind, np.ascontiguousarray(warped[..., :3]))


def _recolour(rng: np.random.Generator, patch: np.ndarray) -> np.ndarray:
    """Change gamma, contrast, brightness and tint; sometimes swap the channels, drop the colour, or turn dark to light."""
    chances = rng.random(3)
    if chances[0] < 0.15:
        patch = np.ascontiguousarray(patch[..., rng.permutation(3)])
    elif chances[0] < 0.25:
        patch = cv2.cvtColor(cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    levels = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.06, 3))
    if chances[1] < 0.15:
        levels = 1 - levels
    middle = levels[int(np.mean(cv2.mean(patch)[:3]))]  # contrast around the crop's own brightness keeps dark words legible
    changed = rng.uniform(0.65, 1.3) * (levels - middle) + middle + rng.normal(0, 0.06)
    table = np.clip(255 * changed, 0, 255).astype(np.uint8)
    return cv2.LUT(patch, table[None])


def _with_margin(patch: np.ndarray, margin: int) -> np.ndarray:
    """Carry the colours of the edge outwards by ``margin`` pixels, smoothed along the way."""
    sign = cv2.copyMakeBorder(patch, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    sign = cv2.blur(sign, (2 * margin + 1, 2 * margin + 1))
    sign[margin:-margin, margin:-margin] = patch
    return sign


def _cover_share(crop: Crop) -> float:
    return sum(map(cv2.contourArea, crop.quads)) / (crop.image.shape[0] * crop.image.shape[1])


def _draw_cover(rng: np.random.Generator, placed: PlacedCrop) -> np.ndarray:
    """Draw how much of crop and margin shows, ``(h, w)`` uint8: all of it or a word alone, sharp or soft at the edge."""
    crop = placed.crop
    height, width = (side + 2 * placed.margin for side in crop.image.shape[:2])
    word = crop.height
    alone, soft = rng.random(2) < (0.3, 0.6)
    edge = rng.uniform(0, max(placed.margin, QUAD_MARGIN * word)) if soft else 0.0
    single = len(crop.quads) == 1
    if not placed.margin and single and (alone or _cover_share(crop) < LEAST_COVER):
        cover = np.zeros((height, width), np.uint8)
        outline = [np.rint(256 * (crop.quads[0] - 0.5)).astype(np.int32)]
        cv2.fillPoly(cover, outline, 255, cv2.LINE_AA, 8)
        cv2.polylines(cover, outline, True, 255, max(1, round(2 * QUAD_MARGIN * word)), cv2.LINE_AA, 8)
        return cv2.GaussianBlur(cover, (0, 0), edge / 2) if edge > 0.5 else cover
    across, down = (np.minimum(steps := np.arange(1, side + 1), steps[::-1]) / (edge + 1) for side in (width, height))
    cover = (255 * np.minimum(np.minimum.outer(down, across), 1)).astype(np.uint8)
    return cover if crop.cover is None else np.minimum(cover, cv2.blur(crop.cover, (3, 3)))
