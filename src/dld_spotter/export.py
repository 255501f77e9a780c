"""Export to ONNX: ``python -m dld_spotter.export ckpt=FILE out=FOLDER``; ``--help`` lists what can be overridden."""

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
from dld_spotter.core.files import write_text
from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.inference.agreement import LEAST, Agreement
from dld_spotter.inference.checkpoint import Checkpoint, load_checkpoint
from dld_spotter.inference.graphs import export_selector, export_spotter, quantize
from dld_spotter.inference.loading import predictor_of
from dld_spotter.inference.onnx_backend import onnx_predictor
from dld_spotter.inference.onnx_meta import DETECTOR, FILES, FORMAT, META, RECOGNIZER, SELECTOR, VOCABULARY, digest, read_meta
from dld_spotter.inference.predictor import Predictor, Reading
from dld_spotter.metrics.matching import Hmean, score_image
from dld_spotter.models.vocabulary import word_file

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
        readings: one per scene and scale, and per scene and cost weight.
        choices: the policy's scale, one per scene; empty without a policy.
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
    OmegaConf.resolve(config)
    config = OmegaConf.merge(OmegaConf.structured(Settings), config)
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ConfigError(f"export needs {', '.join(missing)}; run pip install 'dld-spotter[export]'")
    if config.quantize not in (None, "int8"):
        raise ConfigError(f"quantize={config.quantize} is unknown; give int8, or null for single precision")
    if config.images < 1:
        raise ConfigError(f"images={config.images} must be at least 1: without any the graphs cannot be compared with torch")
    folder, console = Path(config.out), Console(stderr=True)
    checkpoint = load_checkpoint(config.ckpt, config.vocabulary)
    predictor = predictor_of(checkpoint, device="cpu", precision="fp32")
    with console.status("writing graphs"):
        write(checkpoint, predictor, folder)
    renderer = SceneRenderer(config.seed, SceneLayout(480, 640))
    samples = [renderer.render(index) for index in range(config.images)]
    ways: list[dict[str, float]] = [{"scale": scale} for scale in checkpoint.provenance["scales"]]
    if predictor.policy is not None:  # each cost weight may read other regions again
        ways += [{"gamma": gamma} for gamma in predictor.policy.gammas]
    threads = torch.get_num_threads()
    trials = {"torch": attempt(predictor, samples, ways, console)}
    trials["ONNX"] = attempt(onnx_predictor(folder, threads=threads), samples, ways, console)
    sizes = {"ONNX": _megabytes(folder)}
    if config.quantize:
        meta = dict(read_meta(folder))
        (folder / META).unlink()
        for name in (DETECTOR, RECOGNIZER):
            quantize(folder / name)
        write_meta(folder, meta | {"quantized": config.quantize})
        trials["ONNX int8"] = attempt(onnx_predictor(folder, threads=threads), samples, ways, console)
        sizes["ONNX int8"] = _megabytes(folder)
    rich.print(compare(trials, sizes))
    check(trials["torch"], trials["ONNX"], folder)


def write(checkpoint: Checkpoint, predictor: Predictor, folder: Path) -> None:
    """Write the graphs in single precision and ``meta.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / META).unlink(missing_ok=True)  # it is written last: a mixture of two exports cannot be read
    spotter = predictor.backend.spotter
    export_spotter(spotter, folder)
    selector = None
    if "selector" in checkpoint.parts() and "operating_points" not in checkpoint.provenance:
        selector = export_selector(predictor.policy, folder)
    else:
        (folder / SELECTOR).unlink(missing_ok=True)  # of an earlier export; operating points need no graph
    if spotter.vocabulary is None:
        (folder / VOCABULARY).unlink(missing_ok=True)  # of an earlier export
    else:
        partial = (folder / VOCABULARY).with_suffix(".partial")
        copyfile(word_file(spotter.vocabulary.source), partial)
        partial.replace(folder / VOCABULARY)
    write_meta(folder, describe(checkpoint, predictor) | {"selector": selector, "quantized": None})


def describe(checkpoint: Checkpoint, predictor: Predictor) -> dict[str, Any]:
    """What a predictor needs beside the graphs, and where they come from; ``meta.json``."""
    backend = predictor.backend
    spotter, side = backend.spotter, 16 * backend.spotter.stride
    return {
        "format": FORMAT,
        "charset": {"characters": spotter.charset.characters, "fold_case": spotter.charset.fold_case},
        "stride": spotter.stride,
        "scales": list(checkpoint.provenance["scales"]),
        "postprocess": asdict(spotter.postprocess),
        "reads": "features" if spotter.recognizer.reads_features else "pixels",
        "full_resolution_crops": spotter.full_resolution_crops,
        "margin": spotter.recognizer.margin,
        "width_ratio": spotter.recognizer.width_ratio,
        "split_at_spaces": spotter.split_at_spaces,
        "min_score": spotter.min_score,
        "max_length": spotter.recognizer.max_length,
        "vocabulary": spotter.vocabulary and spotter.vocabulary.name,
        "thumbnail": checkpoint.provenance["thumbnail"],
        "gflops": {
            "per_pixel": backend.cost(side, side, 0) / side**2,
            "per_word": backend.cost(side, side, 1) - backend.cost(side, side, 0),
            "selector": predictor.policy.gflops if predictor.policy else 0.0,
        },
        "provenance": {
            "checkpoint": checkpoint.path.name,
            "sha256": checkpoint.fingerprint(),
            "part": checkpoint.reader,
            "dld_spotter": version("dld_spotter"),
            "training": checkpoint.provenance,
        },
    }


def attempt(predictor: Predictor, samples: Sequence[Sample], ways: Sequence[dict[str, float]], console: Console) -> Trial:
    """Read every sample in every way: at a scale, or at a cost weight."""
    tasks = [(sample, way) for way in ways for sample in samples]
    predictor.read(samples[0].image, **ways[0])  # the first takes longer
    label = predictor.backend.describe()
    readings = [predictor.read(s.image, **way) for s, way in track(tasks, label, console=console, transient=True)]
    seconds = sum(reading.seconds for reading in readings) / len(readings)
    counts = [score_image(sample.instances, r.words) for (sample, _), r in zip(tasks, readings, strict=True)]
    choices = [predictor.decide(sample.image).scale for sample in samples] if predictor.policy else []
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
    """Write ``meta.json``, with the hashes of the files beside it."""
    meta = meta | {"files": {name: digest(folder / name) for name in FILES if (folder / name).is_file()}}
    write_text(folder / META, json.dumps(meta, ensure_ascii=False, indent=1) + "\n")


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.glob("*.onnx")) / 1e6


@entry_point("export")
def main(config: DictConfig) -> None:
    """Export, compare."""
    export(config)


if __name__ == "__main__":
    main()
