"""Export to ONNX: ``python -m dld_spotter.export ckpt=FILE out=FOLDER``; ``--help`` lists what can be overridden."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from shutil import copyfile
from typing import Any

import rich
import torch
from omegaconf import MISSING, DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dld_spotter.config.entry import entry_point
from dld_spotter.core.batches import Sample
from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.inference.agreement import LEAST, Agreement
from dld_spotter.inference.checkpoint import Checkpoint, load_checkpoint
from dld_spotter.inference.graphs import export_selector, export_spotter, quantize
from dld_spotter.inference.loading import DynamicSpotter, reader_of
from dld_spotter.inference.onnx_backend import DETECTOR, FORMAT, META, RECOGNIZER, SELECTOR, VOCABULARY, OnnxSpotter, read_meta
from dld_spotter.inference.predictor import PhotoReader, Reading
from dld_spotter.metrics.matching import Hmean, score_image
from dld_spotter.models.vocabulary import word_file
from dld_spotter.selection.policy import OperatingPointPolicy

NEEDED = ("onnx", "onnxscript", "onnxruntime")


@dataclass
class Settings:
    """Types of what ``conf/export.yaml`` holds."""

    ckpt: str = MISSING
    vocabulary: str | None = None
    out: str = MISSING
    quantize: str | None = None
    images: int = MISSING
    seed: int = MISSING
    paths: Any = None


@dataclass(frozen=True)
class Trial:
    """What one reader made of the rendered scenes.

    Args:
        readings: one per scene and scale, and per scene and step of a ladder.
        choices: the selector's scale, one per scene; empty without a selector.
        hmean: end to end, over all readings.
        seconds: per reading.
    """

    readings: list[Reading]
    choices: list[float]
    hmean: float
    seconds: float


def export(config: DictConfig) -> None:
    """Write the graphs and ``meta.json``, and compare them with torch on rendered scenes.

    Raises:
        CheckpointError: the graphs do not agree with torch.
        ConfigError: a setting is wrong or a package is missing.
    """
    config = OmegaConf.merge(OmegaConf.structured(Settings), config)
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ConfigError(f"export needs {', '.join(missing)}; run pip install 'dld-spotter[export]'")
    if config.quantize not in (None, "int8"):
        raise ConfigError(f"quantize={config.quantize} is unknown; give int8, or null for single precision")
    if config.images < 1:
        raise ConfigError(f"images={config.images} must be at least 1: without any the graphs cannot be compared with torch")
    folder, console = Path(config.out), Console(stderr=True)
    checkpoint = load_checkpoint(config.ckpt, config.vocabulary)
    reader = reader_of(checkpoint, device="cpu")
    with console.status("writing graphs"):
        write(checkpoint, reader, folder)
    renderer = SceneRenderer(config.seed, SceneLayout(480, 640))
    samples = [renderer.render(index) for index in range(config.images)]
    ways: list[dict[str, float]] = [{"scale": scale} for scale in checkpoint.provenance["scales"]]
    if isinstance(reader.selector, OperatingPointPolicy):  # each of its steps looks again at other places
        ways += [{"gamma": gamma} for gamma in reader.selector.gammas]
    threads = torch.get_num_threads()
    trials = {"torch": attempt(reader, samples, ways, console)}
    trials["ONNX"] = attempt(OnnxSpotter(folder, threads=threads), samples, ways, console)
    sizes = {"ONNX": _megabytes(folder)}
    if config.quantize:
        for name in (DETECTOR, RECOGNIZER):
            quantize(folder / name)
        write_meta(folder, dict(read_meta(folder)) | {"quantized": config.quantize})
        trials["ONNX int8"] = attempt(OnnxSpotter(folder, threads=threads), samples, ways, console)
        sizes["ONNX int8"] = _megabytes(folder)
    rich.print(compare(trials, sizes))
    check(trials["torch"], trials["ONNX"], folder)


def write(checkpoint: Checkpoint, reader: DynamicSpotter, folder: Path) -> None:
    """Write the graphs in single precision and ``meta.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    export_spotter(reader.spotter, folder)
    selector = reader.selector
    if isinstance(selector, OperatingPointPolicy):  # its steps lie in the provenance, without a graph
        rule = {"rule": "steps", "scales": list(selector.scales), "gammas": list(selector.gammas)}
    else:
        rule = None if selector is None else export_selector(selector, reader.thumbnail, folder)
    if rule is None or rule["rule"] == "steps":
        (folder / SELECTOR).unlink(missing_ok=True)  # of an earlier export
    if reader.spotter.vocabulary is None:
        (folder / VOCABULARY).unlink(missing_ok=True)  # of an earlier export
    else:
        partial = (folder / VOCABULARY).with_suffix(".partial")
        copyfile(word_file(reader.spotter.vocabulary.source), partial)
        partial.replace(folder / VOCABULARY)
    meta = describe(checkpoint, reader) | {"selector": rule, "quantized": None}
    write_meta(folder, meta)


def describe(checkpoint: Checkpoint, reader: DynamicSpotter) -> dict[str, Any]:
    """What a reader needs beside the graphs, and where they come from; ``meta.json``."""
    spotter, side = reader.spotter, 16 * reader.spotter.stride
    return {
        "format": FORMAT,
        "charset": {"characters": spotter.charset.characters, "fold_case": spotter.charset.fold_case},
        "stride": spotter.stride,
        "scales": list(checkpoint.provenance["scales"]),
        "postprocess": asdict(spotter.postprocess),
        "full_resolution_crops": spotter.full_resolution_crops,
        "min_score": spotter.min_score,
        "max_length": spotter.recognizer.max_length,
        "vocabulary": spotter.vocabulary and spotter.vocabulary.name,
        "thumbnail": reader.thumbnail,
        "gflops": {
            "per_pixel": reader.gflops(side, side, 0) / side**2,
            "per_word": reader.gflops(side, side, 1) - reader.gflops(side, side, 0),
            "selector": reader.selector_gflops,
        },
        "provenance": {
            "checkpoint": checkpoint.path.name,
            "sha256": hashlib.sha256(checkpoint.path.read_bytes()).hexdigest(),
            "part": checkpoint.reader,
            "dld_spotter": version("dld_spotter"),
            "training": checkpoint.provenance,
        },
    }


def attempt(reader: PhotoReader, samples: Sequence[Sample], ways: Sequence[dict[str, float]], console: Console) -> Trial:
    """Read every sample in every way: at a scale, or at a cost weight."""
    tasks = [(sample, way) for way in ways for sample in samples]
    name = type(reader).__name__
    reader.read(samples[0].image, **ways[0])  # the first takes longer
    readings = [reader.read(s.image, **way) for s, way in track(tasks, name, console=console, transient=True)]
    seconds = sum(reading.seconds for reading in readings) / len(readings)
    counts = [score_image(sample.instances, r.words) for (sample, _), r in zip(tasks, readings, strict=True)]
    choices = [reader.choose(sample.image) for sample in samples] if reader.has_selector else []
    return Trial(readings, choices, Hmean.of(counts).hmean, seconds)


def compare(trials: dict[str, Trial], sizes: dict[str, float]) -> Table:
    """One column a reader: how far it agrees with torch, what it reads, and what it costs."""
    expected = trials["torch"]
    table = Table(title=f"{len(expected.readings)} readings of rendered scenes", title_justify="left")
    table.add_column("")
    rows: dict[str, list[str]] = {
        key: [] for key in ("words", "polygons within 0.5 px", "texts equal", "scores within 0.001", "Hmean", "seconds", "MB")
    }
    for name, trial in trials.items():
        table.add_column(name, justify="right")
        agreement = Agreement.of(zip(expected.readings, trial.readings, strict=True))
        shares = [f"{100 * share:.2f} %" for share in agreement.shares().values()]
        size = f"{sizes[name]:.1f}" if name in sizes else ""
        cells = [str(sum(len(reading.words) for reading in trial.readings)), *shares]
        for row, cell in zip(rows.values(), [*cells, f"{trial.hmean:.4f}", f"{trial.seconds:.3f}", size], strict=True):
            row.append(cell)
    for key, cells in rows.items():
        table.add_row(key, *cells)
    return table


def check(expected: Trial, found: Trial, folder: Path) -> None:
    """Raise CheckpointError where the graphs do not agree with torch."""
    agreement = Agreement.of(zip(expected.readings, found.readings, strict=True))
    for name, share in agreement.shares().items():
        if share < LEAST[name]:
            raise CheckpointError(
                f"{folder} reads otherwise than torch: only {100 * share:.2f} % of {agreement.words} words agree in their "
                f"{name}, expected {100 * LEAST[name]:g} %; do not use it, and report the checkpoint"
            )
    different = sum(a != b for a, b in zip(expected.choices, found.choices, strict=True))
    if different > 0.05 * len(expected.choices):
        raise CheckpointError(f"{folder} chooses other scales than torch for {different} of {len(expected.choices)} scenes")


def write_meta(folder: Path, meta: dict[str, Any]) -> None:
    """Write ``meta.json``."""
    (folder / META).write_text(json.dumps(meta, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.glob("*.onnx")) / 1e6


@entry_point("export")
def main(config: DictConfig) -> None:
    """Export, compare."""
    export(config)


if __name__ == "__main__":
    main()
