"""What fine-tuning has learnt and what it has forgotten: words read at the start, now, and with weights half-way between.

Weights between those of the start and those of the end often read as much of the new words and keep more of the others
(WiSE-FT, Wortsman et al., arXiv 2109.01903).
"""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import rich
import torch
from rich.progress import track
from rich.table import Table

from dld_spotter.core.batches import Sample
from dld_spotter.core.charset import Charset
from dld_spotter.core.files import write_text
from dld_spotter.data.photos import ReferenceSize
from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.data.views import to_reference
from dld_spotter.inference.backend import Backend
from dld_spotter.inference.torch_backend import TorchBackend
from dld_spotter.metrics.matching import Hmean, match_images
from dld_spotter.models.spotter import Spotter

SEED = 20_221_023
"""Of the rendered scenes, which are the same in every version of the weights."""
SIDE = 384
"""Pixels of a rendered scene."""
START, NOW, HALF_WAY = "at the start", "now", "half-way"


@dataclass(frozen=True)
class Read:
    """What is read of some images at full resolution, without regard to case.

    Args:
        hmean: end to end, protocol ``rrc``.
        matched: words that are found and read rightly.
        from_boxes: words that are read rightly from the truth's box.
    """

    hmean: float
    matched: int
    from_boxes: int


@dataclass(frozen=True)
class Retention:
    """What each of the weights reads of a set of images.

    Args:
        words: legible words of the images that can be written.
        read: weights (``at the start``, ``now`` and, where these have the same shapes, ``half-way``) -> what they read.
    """

    words: int
    read: Mapping[str, Read]


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


def legible(sample: Sample, charset: Charset) -> list[int]:
    """Index of each word that counts and can be written."""
    truth = sample.instances
    return [
        k
        for k, (text, ignore) in enumerate(zip(truth.transcriptions, truth.ignore, strict=True))
        if text and not ignore and not charset.unknown(text)
    ]


def read(backend: Backend, samples: Sequence[Sample], charset: Charset) -> Read:
    """Read images at full resolution, their words where they are found and where the truth says they are."""
    matches, from_boxes = [], 0
    for sample in samples:
        truth, kept = sample.instances, legible(sample, charset)
        detections = backend.detect([sample.image], 1.0)
        matches += match_images([truth], backend.recognize(detections, [one.all for one in detections]), exact=False)
        if kept:
            words = backend.read_boxes(detections[0], [truth.polygons[k] for k in kept])
            texts = [charset.normalize(truth.transcriptions[k]) for k in kept]
            from_boxes += sum(word.text.lower() == text.lower() for word, text in zip(words, texts, strict=True))
    counts = [match.counts for match in matches]
    return Read(Hmean.of(counts).hmean, sum(one.matched for one in counts), from_boxes)


def compare(
    spotters: Mapping[str, Spotter],
    sets: Mapping[str, Sequence[Sample]],
    reference: ReferenceSize,
    device: torch.device | None = None,
) -> dict[str, Retention]:
    """Read sets of images with several weights.

    Args:
        spotters: by what they are called.
        sets: images by what they are called.
        reference: rule for the full resolution that they are read at.
        device: where to.
    """
    found, charset = {}, next(iter(spotters.values())).charset
    for name, samples in sets.items():
        kept = [to_reference(sample, reference) for sample in samples]
        steps = track(spotters.items(), f"reading {name} with each of the weights")
        of_each = {which: read(TorchBackend(spotter, device), kept, charset) for which, spotter in steps}
        found[name] = Retention(sum(len(legible(sample, charset)) for sample in kept), of_each)
    return found


def better(found: Mapping[str, Retention], own: str) -> str:
    """The weights of the highest Hmean on the user's ``own`` images; of equals those that forgot least, then the earlier."""
    names = next(iter(found.values())).read
    return max(names, key=lambda name: (found[own].read[name].hmean, sum(one.read[name].hmean for one in found.values())))


def report(found: Mapping[str, Retention], kept: str, files: Mapping[str, str], folder: Path) -> None:
    """Print the table and a sentence, and leave ``retention.json`` in ``folder``.

    Args:
        found: see :func:`compare`.
        kept: the better weights.
        files: weights -> the file that holds them.
        folder: of the run.
    """
    weights = list(next(iter(found.values())).read)
    table = Table("", "", *weights, title="What training learnt and forgot")
    for name, one in found.items():
        rows = [one.read[which] for which in weights]
        table.add_row(name, "end-to-end Hmean", *(f"{row.hmean:.1%}" for row in rows))
        table.add_row(f"{one.words} words", "found and read", *(str(row.matched) for row in rows))
        table.add_row("", "read from the truth's box", *(str(row.from_boxes) for row in rows), end_section=True)
    rich.print(table)
    if kept == START:
        print(f"Nothing was gained: {files[START]} reads no less; give a lower lr, fewer epochs or more images.")
    else:
        changes = ", ".join(f"{one.read[kept].hmean - one.read[START].hmean:+.1%} of {name}" for name, one in found.items())
        print(f"The better weights are {files[kept]}: Hmean {changes} since the start.")
    facts = {"sets": {name: asdict(one) for name, one in found.items()}, "better": files[kept]}
    write_text(folder / "retention.json", json.dumps(facts, indent=1) + "\n")
