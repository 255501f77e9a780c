"""How fast do torch, ONNX Runtime and OpenVINO compute the two networks of a checkpoint, and do they agree?

    python experiments/benchmarks/runtimes.py [--ckpt bundled] [--threads 2]

The graphs are those of ``python -m dld_spotter.export``. Runtimes take turns; each figure is the best of so many runs, in
milliseconds. OpenVINO (pip install openvino) takes part where it is installed, bfloat16 where the processor has it.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from rich.console import Console
from rich.table import Table

from dld_spotter.core.precision import has_half_instructions
from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.export import write
from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.inference.loading import predictor_of
from dld_spotter.inference.onnx_meta import DETECTOR, RECOGNIZER
from dld_spotter.models.word_recognizer import WordRecognizer

Run = Callable[[], np.ndarray]
SIZES = ((736, 1280), (384, 640), (224, 384))
WORDS = ((1, 96), (8, 96), (8, 192))
"""How many words of how many columns."""


def of_torch(function: Callable[[], torch.Tensor], half: bool) -> Run:
    """Eager torch."""

    def run() -> np.ndarray:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            return function().float().numpy()

    return run


def of_onnxruntime(path: Path, inputs: dict[str, np.ndarray], threads: int) -> Run:
    """ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)[0]


def of_openvino(path: Path, inputs: dict[str, np.ndarray], threads: int, precision: str) -> Run:
    """OpenVINO."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(str(path), "CPU", settings).create_infer_request()
    return lambda: next(iter(request.infer(inputs, share_inputs=True).values()))


def runners(network: Callable[[], torch.Tensor], path: Path, inputs: dict[str, np.ndarray], threads: int) -> dict[str, Run]:
    """Every runtime that there is."""
    halves = [False, True] if has_half_instructions() else [False]
    found = {"torch" + " bf16" * half: of_torch(network, half) for half in halves}
    found["ONNX Runtime"] = of_onnxruntime(path, inputs, threads)
    if find_spec("openvino"):
        found |= {"OpenVINO" + " bf16" * half: of_openvino(path, inputs, threads, "bf16" if half else "f32") for half in halves}
    return found


def compare(title: str, runs: dict[str, Run], repeats: int) -> dict[str, str]:
    """Milliseconds of each, and how far its result is from torch's, relative to its largest value."""
    expected = runs["torch"]()
    best = dict.fromkeys(runs, np.inf)
    for run in runs.values():
        run()  # prepares kernels
    for _ in range(repeats):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - began)
    off = {name: float(np.abs(run() - expected).max() / np.abs(expected).max()) for name, run in runs.items()}
    return {"": title} | {name: f"{1e3 * best[name]:.1f} ({off[name]:.0e})" for name in runs}


def columns(recognizer: WordRecognizer, image: torch.Tensor, boundaries: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of words, what the graph gives."""
    crops = recognizer.crop(image, boundaries, index)
    return recognizer.logits(recognizer.encode(crops)).log_softmax(-1)


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", default="bundled", help="checkpoint with PP-OCR's recogniser (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    checkpoint = load_checkpoint(arguments.ckpt)
    predictor = predictor_of(checkpoint, device="cpu", precision="fp32")
    spotter = predictor.backend.spotter
    spotter.recognizer.margin = 0.0  # the graph takes places as they are
    scene = SceneRenderer(5, SceneLayout(*SIZES[0])).render(0).image.transpose(2, 0, 1)[None]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write(checkpoint, predictor, Path(folder))
        for height, width in SIZES:
            pixels = np.ascontiguousarray(scene[:, :, :height, :width])
            images = torch.from_numpy(pixels)
            found = runners(
                lambda images=images: spotter.detect_maps(images)[1].text.sigmoid(),
                Path(folder) / DETECTOR,
                {"images": pixels},
                arguments.threads,
            )
            rows.append(compare(f"detector, {height} x {width}", found, arguments.repeats))
        for count, width in WORDS:
            start = np.random.default_rng(0).uniform(0, 300, (count, 1, 1, 2))
            place = np.array([[[0, 0], [2 * width, 0]], [[0, 96], [2 * width, 96]]]) / 2
            boundaries = (start + place[None]).astype(np.float32)
            inputs = {"image": scene.astype(np.float32), "boundaries": boundaries, "positions": np.zeros(width, np.float32)}
            image, index = torch.from_numpy(inputs["image"]), torch.zeros(count, dtype=torch.int64)
            read = partial(columns, spotter.recognizer, image, torch.from_numpy(boundaries), index)
            found = runners(read, Path(folder) / RECOGNIZER, inputs, arguments.threads)
            rows.append(compare(f"{count} word(s) of 48 x {width}", found, arguments.repeats))
    table = Table(
        title=f"ms, {arguments.threads} threads (in brackets the largest difference from torch, over its largest value)"
    )
    for name in rows[0]:
        table.add_column(name, justify="left" if not name else "right")
    for row in rows:
        table.add_row(*row.values())
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
