"""Weights of PP-OCRv6 small, read from the ONNX files that the wheel of RapidOCR carries (Apache-2.0, PaddlePaddle).

The ``onnx`` package alone reads them. The graph is walked in order, and so are the modules, which are created in that order.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dld_spotter.core.charset import BLANK, SPECIAL, Charset
from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.models.ppocr.detector import PPOCRDetector
from dld_spotter.models.ppocr.recognizer import PPOCRRecognizer

FILES = {"detector": "PP-OCRv6_det_small.onnx", "recognizer": "PP-OCRv6_rec_small.onnx"}
MODULES = ("rapidocr", "onnx")
REMEDY = "pip install 'dld-spotter[rapidocr]'"
WEIGHTED = ("Conv", "ConvTranspose", "MatMul", "Add", "Mul", "BatchNormalization")
"""Operations of the graphs that hold weights."""
FIRST_CONV = "trunk.stem.first.weight"
LAST_LAYER = "output"
NEVER = -10.0
"""Logit of classes that the weights know nothing of."""


def missing() -> str | None:
    """Say in a sentence what has to be installed before the weights can be read, if anything has."""
    absent = [module for module in MODULES if find_spec(module) is None]
    if not absent:
        return None
    return f"the weights of PP-OCRv6 small are read from the package rapidocr; {', '.join(absent)} is not installed: {REMEDY}"


def detector_state() -> dict[str, Tensor]:
    """State of a :class:`PPOCRDetector`; raises :class:`CheckpointError` where rapidocr or onnx is missing or another one."""
    arrays, _ = _read("detector")
    with torch.device("meta"):
        network = PPOCRDetector()
    return _matched(network, arrays, "detector")


def recognizer_state(charset: Charset) -> dict[str, Tensor]:
    """State of a :class:`PPOCRRecognizer` that writes the characters of a charset.

    Of the 18,710 classes of the last layer the blank and the characters asked for are kept. Characters that PP-OCR does not
    know, and the two special indices beside the blank, are never written until they are trained.

    Raises:
        ConfigError: the charset folds case, which the last layer cannot.
        CheckpointError: rapidocr or onnx is missing, or another one than expected.
    """
    if charset.fold_case:
        raise ConfigError("PP-OCRv6 small tells upper from lower case, found charset.fold_case=true; use charset=printable")
    arrays, characters = _read("recognizer")
    with torch.device("meta"):
        network = PPOCRRecognizer(1 + len(characters))
    state = _matched(network, arrays, "recognizer")
    classes = torch.tensor(classes_of(charset, characters))
    known = classes >= 0
    weight, bias = (state[f"{LAST_LAYER}.{name}"][classes.clamp(min=0)] for name in ("weight", "bias"))
    state[f"{LAST_LAYER}.weight"] = torch.where(known[:, None], weight, 0.0)
    state[f"{LAST_LAYER}.bias"] = torch.where(known, bias, NEVER)
    return state


def known_characters() -> list[str]:
    """The characters that the recogniser of the wheel can write, in the order of its classes, which begin with the blank."""
    return _read("recognizer")[1]


def classes_of(charset: Charset, characters: Sequence[str]) -> list[int]:
    """Class of PP-OCR for each index of a charset, -1 where it has none; its class 0 is the blank.

    >>> classes_of(Charset("ba?"), ["a", "b", "c"])
    [0, -1, -1, 2, 1, -1]
    """
    place = {character: index + 1 for index, character in enumerate(characters)}
    classes = [-1] * len(charset)
    classes[BLANK] = 0
    classes[SPECIAL:] = [place.get(character, -1) for character in charset.characters]
    return classes


def _read(part: str) -> tuple[list[np.ndarray], list[str]]:
    """Arrays of weights in the order of the graph, and the characters that its metadata name."""
    if reason := missing():
        raise CheckpointError(reason)
    import onnx  # no requirement of ours: see the extra in pyproject.toml

    path = Path(str(find_spec("rapidocr").origin)).parent / "models" / FILES[part]
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf has exceptions of its own
        raise CheckpointError(f"{path} cannot be read ({error}); {REMEDY}, with rapidocr 3.10") from error
    characters = [entry.value.split("\n") for entry in model.metadata_props if entry.key == "character"]
    return _weights(model.graph), [*characters[0], " "] if characters else []


def _weights(graph: Any) -> list[np.ndarray]:
    """Arrays of weights in order; matrices as torch has them, batch normalisation folded into what comes before it."""
    from onnx import numpy_helper

    initial = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    found: list[np.ndarray] = []
    for node in graph.node:
        arrays = [initial[name] for name in node.input if name in initial and initial[name].ndim]
        if node.op_type not in WEIGHTED or not arrays or arrays[0].shape == (1,):  # a scale of the attention
            continue
        if node.op_type == "BatchNormalization":
            epsilon = next(entry.f for entry in node.attribute if entry.name == "epsilon")
            found[-1:] = _folded(found[-1], *arrays, epsilon)
        else:
            found += [array.T if node.op_type == "MatMul" else array for array in arrays]
    return found


def _folded(
    kernel: np.ndarray, scale: np.ndarray, shift: np.ndarray, mean: np.ndarray, variance: np.ndarray, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a convolution without bias and of the batch normalisation behind it."""
    factor = scale / np.sqrt(variance + np.float32(epsilon))
    return kernel * factor[:, None, None, None], shift - mean * factor


def _matched(network: nn.Module, arrays: Sequence[np.ndarray], part: str) -> dict[str, Tensor]:
    """Give the arrays the names of a network's parameters; its first layer takes red first, PP-OCR's takes blue first."""
    expected = network.state_dict()
    same = len(arrays) == len(expected) and all(
        np.squeeze(array).shape == np.squeeze(np.empty(tuple(parameter.shape), bool)).shape
        for array, parameter in zip(arrays, expected.values(), strict=False)
    )
    if not same:
        raise CheckpointError(f"{FILES[part]} of the installed rapidocr is another network than that of 3.10; {REMEDY}")
    state = {
        name: torch.from_numpy(np.array(array, np.float32)).reshape(parameter.shape)
        for (name, parameter), array in zip(expected.items(), arrays, strict=True)
    }
    state[FIRST_CONV] = state[FIRST_CONV].flip(1)
    return state
