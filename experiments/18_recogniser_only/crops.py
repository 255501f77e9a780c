"""How well does a spotter read real words whose place is given, those that training saw and those that it did not?

    python experiments/18_recogniser_only/crops.py CHECKPOINT CROPS [COUNT [VOCABULARY]]

reads word crops of the photos that training takes its crops from (shares 0 to 0.9) and of the others, COUNT words of each, and
prints the share that is read rightly. The student of the checkpoint reads, or its teacher where it has no student; against a
VOCABULARY (``english``, ``none``, a file) where one is named.
"""

import sys

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from dld_spotter.data.synthetic.crops import Crop, CropSource
from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.models.spotter import Spotter

TOGETHER = 0.8
"""As experiments/16_box_jitter pastes them: words with their neighbours."""
LEAST_SIDE = 64


@torch.inference_mode()
def read(spotter: Spotter, crop: Crop) -> list[str]:
    """Read the words of a crop at the places that are known."""
    height, width = crop.image.shape[:2]
    stride = spotter.stride
    padded = [-(-max(side, LEAST_SIDE) // stride) * stride for side in (height, width)]
    image = np.full((*padded, 3), 114, np.uint8)
    image[:height, :width] = crop.image
    corners: Tensor = torch.from_numpy(crop.quads).float()
    boundaries = torch.stack([corners[:, :2], corners[:, [3, 2]]], dim=1)
    features, _ = spotter.detect_maps(torch.from_numpy(image).permute(2, 0, 1)[None])
    strips = spotter.cut(features, boundaries, torch.zeros(len(boundaries), dtype=torch.int64))
    _, context = spotter.recognizer.encoder(strips)
    labels, _ = spotter.recognizer.read(context)
    return spotter.rescore(context, [spotter.charset.decode(row) for row in labels.tolist()])


def accuracy(spotter: Spotter, crops: CropSource, count: int, label: str) -> tuple[int, float]:
    """Words that were read, drawn in a fixed order, and the share that was read rightly without regard to case."""
    right: list[bool] = []
    for index in track(np.random.default_rng(0).permutation(len(crops)).tolist(), label, transient=True):
        crop = crops[index]
        for found, text, ignore in zip(read(spotter, crop), crop.texts, crop.ignore, strict=True):
            if text and not ignore:
                right.append(found.lower() == text.lower())
        if len(right) >= count:
            break
    return len(right), float(np.mean(right))


def main(path: str, folder: str, count: str = "450", vocabulary: str | None = None) -> None:
    """Read both parts, print."""
    checkpoint = load_checkpoint(path, vocabulary)
    spotter = checkpoint.build(checkpoint.reader).eval()
    for label, photos in (("seen in training", (0.0, 0.9)), ("never seen", (0.9, 1.0))):
        words, share = accuracy(spotter, CropSource(folder, photos, TOGETHER), int(count), label)
        Console().print(f"{label}: {100 * share:.1f} % of {words} words")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
