"""What was read in one image. Needs no torch."""

from dataclasses import dataclass
from functools import cached_property

from dld_spotter.core.words import Word
from dld_spotter.inference.layout import TextBlock, TextLine, find_blocks


@dataclass(frozen=True)
class Reading:
    """What was read in one image.

    Args:
        words: the words in reading order, polygons in pixels of the original image.
        scale: of the first pass; 1.0 is the reference resolution.
        gflops: GFLOP spent, the decision included; NaN of an engine whose FLOPs nobody knows.
        seconds: wall time from pixels to words.
        relative_cost: cost over that of one pass at scale 1.0 that reads each of these words once.
        width: of the original image, pixels.
        height: of the original image, pixels.
        second_pass_share: pixels of the second view, over those of the reference; 0 after one pass.
        dropped: regions that may hold words and were not read, as there were more than ``postprocess.max_words``.
        pieces: in how many the image was read, see :class:`~dld_spotter.inference.pieces.PieceRule`.
        turned: degrees clockwise by which most of its text is turned, where that was asked for: 0, 90, 180 or 270.
        reduced: how many times as long as at full resolution the sides of the image are, of its finest piece.
    """

    words: tuple[Word, ...]
    scale: float
    gflops: float
    seconds: float
    relative_cost: float
    width: int
    height: int
    second_pass_share: float = 0.0
    dropped: int = 0
    pieces: int = 1
    turned: int = 0
    reduced: float = 1.0

    @cached_property
    def blocks(self) -> tuple[TextBlock, ...]:
        """The words as lines, and these as blocks, in reading order."""
        return find_blocks(self.words)

    @property
    def lines(self) -> tuple[TextLine, ...]:
        """The words as lines, in reading order."""
        return tuple(line for block in self.blocks for line in block.lines)

    @property
    def text(self) -> str:
        """All that was read: a line of text for each line, an empty one between blocks."""
        return "\n\n".join(block.text for block in self.blocks)
