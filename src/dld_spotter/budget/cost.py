"""What reading an image at a resolution costs.

GFLOP are 1e9 floating-point operations, a multiply-add counted as 2 (the paper's G are multiply-adds over 2**30). Counted
by PyTorch's flop counter on the meta device, where LSTMs count too. Bilinear lookups and element-wise operations count 0.
"""

import hashlib
import io
import pickle
import platform
from abc import ABC, abstractmethod
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from math import isclose
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from dld_spotter.budget.latency import Line, known_line, measure_line, remembered
from dld_spotter.core.records import Record
from dld_spotter.data.views import make_view
from dld_spotter.models.folding import folded
from dld_spotter.models.spotter import Spotter
from dld_spotter.models.vocabulary import SPELLINGS

GIGA = 1e9


def pad_to(size: int, stride: int) -> int:
    """Round a size up to a multiple of the stride."""
    return -(-size // stride) * stride


class CostModel(ABC):
    """Cost of one image at one resolution, in a unit of its own; relative cost divides by the cost at scale 1.0.

    Attributes:
        unit: of the cost.
    """

    unit: ClassVar[str] = "unknown"

    @abstractmethod
    def cost(self, height: int, width: int, words: float = 0.0) -> float:
        """Cost of reading an image of ``height`` x ``width`` pixels with so many words."""

    def relative(self, sizes: Tensor, scales: tuple[float, ...], words: Tensor | None = None) -> Tensor:
        """Costs ``(B, K)`` of images with reference ``sizes`` ``(B, 2)`` at every scale, over their cost at 1.0.

        Args:
            sizes: height and width in pixels.
            scales: the scales.
            words: ``(B,)`` words per image; none where absent.
        """
        counts = [0] * len(sizes) if words is None else words.tolist()
        rows = []
        for (height, width), count in zip(sizes.tolist(), counts, strict=True):
            full = self.cost(height, width, count)
            rows.append([self.cost(max(1, round(height * s)), max(1, round(width * s)), count) / full for s in scales])
        return torch.tensor(rows, dtype=torch.float32, device=sizes.device).view(len(sizes), len(scales))


class AreaCost(CostModel):
    """Millions of pixels, padding included.

    Args:
        spotter: its stride decides the padding.
    """

    unit = "megapixels"

    def __init__(self, spotter: Spotter) -> None:
        self.stride = spotter.stride

    def cost(self, height: int, width: int, words: float = 0.0) -> float:
        """See :meth:`CostModel.cost`."""
        return pad_to(height, self.stride) * pad_to(width, self.stride) / 1e6


class FlopCost(CostModel):
    """GFLOP of a spotter, counted on its own modules for the real, padded size, plus what reading each word costs.

    Args:
        spotter: the spotter; it is not changed.
    """

    unit = "GFLOP"

    def __init__(self, spotter: Spotter) -> None:
        self.spotter = deepcopy(spotter).to("meta").eval()
        self.counted: dict[tuple[int, int], float] = {}
        """Padded sizes seen so far -> GFLOP apart from the words; a dictionary, since caching wrappers cannot be pickled."""
        counts = _counted_once(self)
        self.fixed, self.per_cell, self.per_word = counts.fixed, counts.per_cell, counts.per_word

    def cost(self, height: int, width: int, words: float = 0.0) -> float:
        """GFLOP of an image."""
        stride = self.spotter.stride
        size = pad_to(height, stride), pad_to(width, stride)
        if self.per_cell is not None:
            return self.fixed + self.per_cell * size[0] * size[1] / stride**2 + words * self.per_word
        if size not in self.counted:
            self.counted[size] = self.dense(*size)
        return self.counted[size] + words * self.per_word

    def dense(self, height: int, width: int) -> float:
        """Count the GFLOP that an image of a padded size costs whatever it shows."""
        return self._detect(height, width).get_total_flops() / GIGA

    def stages(self, height: int, width: int, words: float = 0.0) -> dict[str, float]:
        """GFLOP of each part of the spotter, by the name of its class; together :meth:`cost`."""
        size = pad_to(height, self.spotter.stride), pad_to(width, self.spotter.stride)
        return _parts(self._detect(*size), 0) | {name: words * flops for name, flops in _parts(self._read(), 1).items()}

    def _detect(self, height: int, width: int) -> FlopCounterMode:
        images = torch.zeros(1, 3, height, width, dtype=torch.uint8, device="meta")
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            self.spotter.run_per_image(images)
        return counter

    def count(self) -> "Counts":
        """Count, on small images, what makes up the cost of every image."""
        stride = self.spotter.stride
        few, some, many = (self.dense(rows * stride, columns * stride) for rows, columns in ((2, 2), (3, 5), (4, 6)))
        # Counting takes longer than a small image's reading, and convolutions cost the same in every cell of the grid; what
        # is computed from a map's mean (squeeze-and-excitation) costs the same for every image.
        slope = (many - few) / 20
        fixed = few - 4 * slope if not isclose(few, 4 * slope, rel_tol=1e-9) else 0.0
        per_cell = slope if isclose(some, few + 11 * slope, rel_tol=1e-9) else None
        return Counts(fixed, per_cell, self._read().get_total_flops() / GIGA)

    def _read(self) -> FlopCounterMode:
        """Read one word: encoder and CTC head once, the attention decoder for a word of 6 characters, 7 steps.

        Recognisers whose crops are as wide as the word are counted for one of their mean width (``counted_width``).

        With a vocabulary the decoder also weighs as many spellings as it may have to, whether this word is one or not.
        """
        images = torch.zeros(1, 3, 64, 64, dtype=torch.uint8, device="meta")
        boundaries = torch.zeros(1, 2, 8, 2, device="meta")
        index = torch.zeros(1, dtype=torch.int64, device="meta")
        labels = torch.zeros(1, 7, dtype=torch.int64, device="meta")
        counter = FlopCounterMode(display=False)
        with torch.no_grad():
            features, _ = self.spotter.detect_maps(images)
            with counter:
                recognition = self.spotter.run_per_word(features, boundaries, index, labels)
                if self.spotter.vocabulary is not None:
                    tried = torch.zeros(1 + SPELLINGS, dtype=torch.int64, device="meta")
                    self.spotter.weigh(recognition.context, tried, labels.expand(len(tried), -1))
        return counter


@dataclass(frozen=True)
class Counts(Record):
    """GFLOP that make up the cost of an image.

    Args:
        fixed: of every image.
        per_cell: of a cell of the stride's grid; None where cells do not cost the same.
        per_word: of a word.
    """

    fixed: float
    per_cell: float | None
    per_word: float


_known: dict[tuple[str, tuple[type, ...]], Counts] = {}
"""Counts by what a spotter is built like: a training asks for those of one architecture four times."""
LIBRARIES = ("dld_spotter", "torch", "transformers")
"""Packages whose modules compute the same as long as version or sources are the same."""
KEPT = 64
"""Architectures whose counts are kept on disk."""


def _counted_once(cost: FlopCost) -> Counts:
    """What :meth:`FlopCost.count` gives, counted once for all spotters that differ in their weights alone.

    Counting takes a second, and torch two more to get ready for it; so counts are kept from one process to the next, too, in
    ``flops.json`` of the cache, for spotters of this package.
    """
    try:  # tensors on the meta device have shapes and no values
        digest = _digest(cost.spotter)
    except (AttributeError, TypeError, ValueError, pickle.PicklingError):  # a part cannot be pickled: a function made in place
        return cost.count()
    built = digest, tuple(map(type, cost.spotter.modules()))  # a notebook may define a class of one name anew
    if built not in _known:
        own = all(kind.__module__.partition(".")[0] in LIBRARIES for kind in built[1])
        key = f"{digest} by {_sources()}"
        _known[built] = remembered("flops.json", Counts, key, cost.count, KEPT) if own else cost.count()
    return _known[built]


@cache
def _sources() -> str:
    """Fingerprint of all that counts depend on beside the spotter: how models compute, and how this is counted."""
    digest = hashlib.sha256(" ".join(f"{name} {version(name)}" for name in LIBRARIES[1:]).encode())
    package = Path(__file__).parents[1]
    for path in (Path(__file__), *sorted((package / "models").rglob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _digest(spotter: Spotter) -> str:
    """Digest of what a spotter on the meta device is built like."""
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream)
    pickler.fast = True  # writes equal strings alike, be they one object or two, which differs from one spotter to the next
    pickler.dump(spotter)
    return hashlib.sha256(stream.getbuffer()).hexdigest()


def _parts(counter: FlopCounterMode, depth: int) -> dict[str, float]:
    """GFLOP by module: the name of a class and, of its attributes, as many as ``depth`` below it."""
    counts = {name: sum(operations.values()) / GIGA for name, operations in counter.get_flop_counts().items()}
    parents = {name.rpartition(".")[0] for name in counts}
    shown = {name for name in counts if name.count(".") == depth or (name.count(".") < depth and name not in parents)}
    return {name: flops for name, flops in counts.items() if name in shown - {"Global"}}


class MeasuredLatency(CostModel):
    """Seconds on the device that the spotter is on when they are first asked for: a line over the GFLOP.

    Measured is what reads, see :func:`~dld_spotter.models.folding.folded`.

    Args:
        spotter: the spotter; it is not changed.
    """

    unit = "seconds"

    def __init__(self, spotter: Spotter) -> None:
        self.spotter = spotter
        self.flops = FlopCost(spotter)
        self.line: Line | None = None

    def cost(self, height: int, width: int, words: float = 0.0) -> float:
        """Seconds of an image."""
        if self.line is None:
            spotter = folded(self.spotter)
            self.line = known_line(*identify(spotter), partial(self.measure, spotter))
        return self.line.seconds(self.flops.cost(height, width, words))

    def measure(self, spotter: Spotter) -> Line:
        """Read blank images of a few sizes."""
        device = next(spotter.parameters()).device

        def read_blank(height: int, width: int) -> None:
            spotter.spot(make_view([np.zeros((height, width, 3), np.uint8)], 1.0, spotter.stride).to(device))

        return measure_line(read_blank, self.flops.cost)


def identify(spotter: Spotter) -> tuple[str, str, int]:
    """What the seconds of a spotter depend on: fingerprint of its weights, name of its device, number of threads."""
    digest = hashlib.sha256(repr(spotter.vocabulary).encode())
    for name, value in spotter.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)}".encode() + value.detach().cpu().numpy().tobytes())
    device = next(spotter.parameters()).device
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} {device.type}"
    return digest.hexdigest()[:16], kind, torch.get_num_threads()
