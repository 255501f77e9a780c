"""What a camera does to a scene: blur, low light, noise, exposure, compression."""

from dataclasses import dataclass, fields
from functools import cache

import cv2
import numpy as np

from dld_spotter.core.errors import ConfigError

NOISE_SIDE = 1024
MOST_DEFOCUS = 6.0  # pixels of radius
LIGHT = (0.15, 0.5)  # of a picture taken in low light
GRAIN = 12.0  # grey levels of noise that low light brings, relative to what light is left


@dataclass(frozen=True)
class Degradation:
    """Degrades images, never so far that the smallest words are wiped out.

    Defocus and low light are off by default, and draw nothing then: a seed keeps the images that it had before they were there.

    Args:
        blur_probability: share of images with Gaussian or motion blur.
        blur: largest blur, as the standard deviation relative to the height of the smallest word.
        noise_probability: share of images with sensor noise.
        noise: largest standard deviation of the noise, in grey levels.
        shading_probability: share of images with uneven light.
        exposure_probability: share of images with changed contrast, brightness and gamma.
        jpeg_probability: share of images that pass through JPEG.
        jpeg_quality: lowest and highest quality.
        defocus_probability: share of the images without other blur that are out of focus.
        defocus: largest radius of the disc that a point becomes, relative to the height of the smallest word.
        low_light_probability: share of images taken in low light: dark, tinted and grainy.
        min_height: pixels; lower words are taken to be unreadable, and are not spared.
    """

    blur_probability: float = 0.4
    blur: float = 0.06
    noise_probability: float = 0.5
    noise: float = 14.0
    shading_probability: float = 0.25
    exposure_probability: float = 0.5
    jpeg_probability: float = 0.5
    jpeg_quality: tuple[int, int] = (40, 95)
    defocus_probability: float = 0.0
    defocus: float = 0.12
    low_light_probability: float = 0.0
    min_height: float = 8.0

    def __post_init__(self) -> None:
        chances = {field.name: getattr(self, field.name) for field in fields(self) if field.name.endswith("_probability")}
        if not all(0 <= chance <= 1 for chance in chances.values()):
            raise ConfigError(f"degradation.*_probability must lie in 0..1, found {chances}")

    def apply(self, rng: np.random.Generator, image: np.ndarray, text_height: float) -> np.ndarray:
        """Degrade ``image`` ``(H, W, 3)`` uint8 whose smallest word is ``text_height`` pixels high."""
        if rng.random() < self.shading_probability:
            image = _shade(rng, image)
        if rng.random() < self.blur_probability:
            sigma = min(rng.uniform(0.2, 1.0) * self.blur * text_height, 3.0)
            image = _motion_blur(rng, image, 3.5 * sigma) if rng.random() < 0.3 else cv2.GaussianBlur(image, (0, 0), sigma)
        elif self.defocus_probability and rng.random() < self.defocus_probability:
            image = _defocus(image, min(rng.uniform(0.3, 1.0) * self.defocus * text_height, MOST_DEFOCUS))
        if self.low_light_probability and rng.random() < self.low_light_probability:
            image = _darken(rng, image)
        if rng.random() < self.exposure_probability:
            image = cv2.LUT(image, _exposure(rng))
        if rng.random() < self.noise_probability:
            image = _add_noise(rng, image, rng.uniform(0, self.noise))
        if rng.random() < self.jpeg_probability:
            quality = int(rng.integers(self.jpeg_quality[0], self.jpeg_quality[1] + 1))
            image = cv2.imdecode(cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))[1], cv2.IMREAD_COLOR)
        return image


def _shade(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Darken parts of the image smoothly, down to 45 %."""
    corners = rng.integers(115, 256, (3, 3), np.uint8)
    light = cv2.resize(corners, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return cv2.multiply(image, cv2.merge([light] * 3), scale=1 / 255)


def _motion_blur(rng: np.random.Generator, image: np.ndarray, length: float) -> np.ndarray:
    side = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((side, side), np.float32)
    middle, angle = side // 2, rng.uniform(0, np.pi)
    reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    start, end = np.rint(256 * (middle - reach)).astype(int), np.rint(256 * (middle + reach)).astype(int)
    cv2.line(kernel, tuple(map(int, start)), tuple(map(int, end)), 1.0, 1, cv2.LINE_AA, 8)
    kernel[middle, middle] = max(kernel[middle, middle], 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def _defocus(image: np.ndarray, radius: float) -> np.ndarray:
    """Spread every point over a disc, as a lens out of focus does."""
    reach = int(np.ceil(radius))
    distance = np.hypot(*np.ogrid[-reach : reach + 1, -reach : reach + 1])
    disc = np.clip(radius + 0.5 - distance, 0, 1).astype(np.float32)
    return cv2.filter2D(image, -1, disc / disc.sum())


def _darken(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Take most of the light away, more of the blue than of the red, and add the grain of a sensor that sees little."""
    light = rng.uniform(*LIGHT)
    tint = light * np.array([1.0, rng.uniform(0.8, 1.0), rng.uniform(0.6, 1.0)])
    table = np.rint(np.arange(256)[:, None] * tint).astype(np.uint8)
    return _add_noise(rng, cv2.LUT(image, table[None]), light * rng.uniform(0.2, 1.0) * GRAIN)


def _exposure(rng: np.random.Generator) -> np.ndarray:
    levels = np.linspace(0, 1, 256) ** rng.uniform(0.7, 1.4)
    return np.clip(255 * (rng.uniform(0.65, 1.2) * (levels - 0.5) + 0.5) + rng.uniform(-25, 25), 0, 255).astype(np.uint8)


@cache
def _noise_tile() -> np.ndarray:
    """Make a tile of standard normal noise once, ``(NOISE_SIDE, NOISE_SIDE, 3)`` int8 in units of 1/32."""
    noise = np.random.default_rng(0).normal(0, 32, (NOISE_SIDE, NOISE_SIDE, 3))
    return np.clip(noise, -127, 127).astype(np.int8)


def _add_noise(rng: np.random.Generator, image: np.ndarray, sigma: float) -> np.ndarray:
    """Add the noise tile from a random place on, repeated where the image is larger than it."""
    height, width = image.shape[:2]
    tile = _noise_tile()
    top, left = int(rng.integers(NOISE_SIDE)), int(rng.integers(NOISE_SIDE))
    bottom, right = max(NOISE_SIDE - top, 0), max(NOISE_SIDE - left, 0)
    noise = tile[top : top + height, left : left + width]
    missing = (max(height - bottom, 0), max(width - right, 0))
    if any(missing):
        noise = cv2.copyMakeBorder(noise, 0, missing[0], 0, missing[1], cv2.BORDER_WRAP)
    return cv2.addWeighted(image, 1.0, noise, sigma / 32, 0.0, dtype=cv2.CV_8U)
