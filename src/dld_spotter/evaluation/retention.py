"""What fine-tuning has learnt and what it has forgotten: true words read at the start, now, and with weights half-way between.

Weights between those of the start and those of the end often read as much of the new words and keep more of the others
(WiSE-FT, Wortsman et al., arXiv 2109.01903).
"""

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import rich
import torch
from rich.progress import track
from rich.table import Table

from dld_spotter.core.batches import Sample
from dld_spotter.core.charset import Charset
from dld_spotter.data.photos import ReferenceSize
from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.data.views import to_reference
from dld_spotter.inference.backend import Backend
from dld_spotter.inference.torch_backend import TorchBackend
from dld_spotter.models.spotter import Spotter

SEED = 20_221_023
"""Of the rendered scenes, which are the same in every version of the weights."""
SIDE = 384
"""Pixels of a rendered scene."""
START, NOW, HALF_WAY = "at the start", "now", "half-way"


@dataclass(frozen=True)
class Retention:
    """How many true words of some images are read rightly, without regard to case.

    Args:
        words: legible words of the images.
        right: weights (``at the start``, ``now`` and, where these have the same shapes, ``half-way``) -> words read rightly.
    """

    words: int
    right: Mapping[str, int]


def rendered(images: int) -> list[Sample]:
    """Rendered scenes, the same ones every time, which stand for what a user's own images do not show."""
    renderer = SceneRenderer(seed=SEED, layout=SceneLayout(height=SIDE, width=SIDE))
    return [renderer.render(index) for index in range(images)]


def half_way(start: Spotter, now: Spotter) -> Spotter | None:
    """A spotter with the mean of both weights; None where they differ in shape."""
    before, after = start.state_dict(), now.state_dict()
    if {name: value.shape for name, value in before.items()} != {name: value.shape for name, value in after.items()}:
        return None
    mean = deepcopy(now)
    pairs = ((name, before[name].to(value), value) for name, value in after.items())
    mean.load_state_dict({name: torch.lerp(old, new, 0.5) if new.is_floating_point() else new for name, old, new in pairs})
    return mean


def read_rightly(backend: Backend, samples: Iterable[Sample], reference: ReferenceSize, charset: Charset) -> np.ndarray:
    """Whether each legible word that can be written is read rightly from the truth's box, without regard to case."""
    right: list[bool] = []
    for sample in samples:
        sample = to_reference(sample, reference)
        truth = sample.instances
        kept = [
            (polygon, charset.normalize(text))
            for polygon, text, ignore in zip(truth.polygons, truth.transcriptions, truth.ignore, strict=True)
            if text and not ignore and not charset.unknown(text)
        ]
        if kept:
            words = backend.read_boxes(backend.detect([sample.image], 1.0)[0], [polygon for polygon, _ in kept])
            right += [word.text.lower() == text.lower() for word, (_, text) in zip(words, kept, strict=True)]
    return np.array(right, bool)


def compare(
    spotters: Mapping[str, Spotter],
    sets: Mapping[str, Iterable[Sample]],
    reference: ReferenceSize,
    device: torch.device | None = None,
) -> dict[str, Retention]:
    """Read the true words of sets of images with several weights.

    Args:
        spotters: by what they are called.
        sets: images by what they are called.
        reference: rule for the full resolution that they are read at.
        device: where to.
    """
    found = {}
    for name, samples in sets.items():
        kept = list(samples)
        right = {
            which: read_rightly(TorchBackend(spotter, device), kept, reference, spotter.charset)
            for which, spotter in track(spotters.items(), f"reading the true words of {name}")
        }
        found[name] = Retention(len(next(iter(right.values()))), {which: int(flags.sum()) for which, flags in right.items()})
    return found


def better(found: Mapping[str, Retention], own: str) -> str:
    """The weights that read most of the user's ``own`` words; of equals those that forgot least."""
    names = [name for name in next(iter(found.values())).right if name != START]
    return max(names, key=lambda name: (found[own].right[name], sum(one.right[name] for one in found.values())))


def report(found: Mapping[str, Retention], kept: str, files: Mapping[str, str], folder: Path) -> None:
    """Print the table and a sentence, and leave ``retention.json`` in ``folder``.

    Args:
        found: see :func:`compare`.
        kept: the better weights.
        files: weights -> the file that holds them.
        folder: of the run.
    """
    table = Table(
        "true words read rightly", "words", *next(iter(found.values())).right, title="What training learnt and forgot"
    )
    for name, one in found.items():
        table.add_row(name, str(one.words), *(f"{count} ({count / max(one.words, 1):.1%})" for count in one.right.values()))
    rich.print(table)
    changes = {name: one.right[kept] - one.right[START] for name, one in found.items()}
    parts = ", ".join(f"{change:+d} of {found[name].words} words of {name}" for name, change in changes.items())
    print(f"The better weights are {files[kept]}: {parts} since the start.")
    if next(iter(changes.values())) < 0:
        print("Nothing was gained: the weights at the start read more; give a lower lr, fewer epochs or more images.")
    facts = {"sets": {name: asdict(one) for name, one in found.items()}, "better": files[kept]}
    (folder / "retention.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
