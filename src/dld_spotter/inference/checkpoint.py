"""Checkpoints: weights with the configuration and charset they need, loaded without executing anything.

A file holds ``state_dict``, whose names begin with ``teacher.``, ``student.`` or ``selector.``, and ``dld_spotter``, plain
values: ``format``, ``model`` (configuration of these parts), ``scales``, ``thumbnail``, and what budgets need: of a calibrated
selector ``calibration`` (:class:`~dld_spotter.budget.calibration.Calibration`), or in its place ``operating_points``
(:class:`~dld_spotter.budget.operating_points.OperatingPoints`) with ``second_pass``
(:class:`~dld_spotter.selection.second_pass.rule.SecondPassRule`) and the ``candidates`` they were chosen from
(:class:`~dld_spotter.budget.candidates.Candidates`), which files of earlier versions lack. Lightning's own checkpoints
carry the same two entries beside their training state. Earlier names are those of :mod:`dld_spotter.core.aliases`.

Whatever a file says is checked before it is used, see :mod:`dld_spotter.inference.provenance`.
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from pydoc import locate as locate_object
from typing import Any, cast

import torch
from torch import Tensor, nn

from dld_spotter.budget.calibration import Calibration
from dld_spotter.core.aliases import renamed
from dld_spotter.core.archives import Bounds, open_archive
from dld_spotter.core.charset import Charset
from dld_spotter.core.errors import CheckpointError, ConfigError, shown
from dld_spotter.core.files import whole
from dld_spotter.core.score_scaling import SCORE_SCALING, ScoreScaling
from dld_spotter.inference import ppocr
from dld_spotter.inference.provenance import check_part, check_plain, check_provenance, check_vocabulary
from dld_spotter.models.folding import folded
from dld_spotter.models.spotter import Spotter
from dld_spotter.models.vocabulary import Vocabulary
from dld_spotter.selection.policy import OperatingPointPolicy, Policy
from dld_spotter.selection.second_pass.rule import SecondPassRule
from dld_spotter.selection.selector import Selector

logger = logging.getLogger(__name__)
BUNDLED = "bundled"
WEIGHTS = {BUNDLED: "ppocr_words.ckpt", "bundled_tiny": "tiny.ckpt"}
"""Name of weights that travel with the package -> their file."""
FORMAT = 1
BOUNDS = Bounds(members=200_000, member=2**40, archive=2**40)
"""Of the zip archive that torch writes; all of it lies there unpacked, which the size of the file bounds."""
READERS = ("teacher", "student")
PARTS = (*READERS, "selector")
RETIRED = "QualitySelector"
"""Class of selectors that there were up to version 0.1: it read no more of photos than operating points do."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Args:
        path: the file; of weights that come with another package, their name.
        provenance: its plain values.
        state: its weights, by full name.
        given: whether the vocabulary of its spotters was named by who reads the file, not by the file.
    """

    path: Path
    provenance: dict[str, Any]
    state: dict[str, Tensor]
    given: bool = False

    def parts(self) -> list[str]:
        """Which of teacher, student and selector are in it."""
        return [part for part in PARTS if any(name.startswith(f"{part}.") for name in self.state)]

    def weights(self, part: str) -> dict[str, Tensor]:
        """Weights of one part, in single precision, by their names within it.

        Raises:
            CheckpointError: the part is not in the file.
        """
        prefix = f"{part}."
        found = {name.removeprefix(prefix): value for name, value in self.state.items() if name.startswith(prefix)}
        if not found:
            raise CheckpointError(
                f"{self.path} holds no {part}, only {', '.join(self.parts()) or 'nothing known'}; give another file"
            )
        return {name: value.float() if value.is_floating_point() else value for name, value in found.items()}

    def config(self, part: str) -> dict[str, Any]:
        """Configuration of one part, checked: it builds what :mod:`~dld_spotter.inference.provenance` lists alone."""
        config: dict[str, Any] | None = self.provenance["model"].get(part)
        if config is None:
            raise CheckpointError(f"{self.path} has no configuration of a {part}; give another file")
        check_part(config, part, self.path)
        return config

    def build(self, part: str) -> nn.Module:
        """Build one part from its configuration, with its weights, for inference."""
        config = self.config(part)
        if not self.given:
            check_vocabulary(config.get("vocabulary"), self.path)
        weights = self.weights(part)
        with torch.device("meta"):  # without memory, so that nothing larger than the file is laid out
            outline = self._make(part, config | {"vocabulary": None} if "vocabulary" in config else config)
        check_fit(outline.state_dict(), weights, self.path)
        module = self._make(part, config)
        load_weights(module, weights, self.path)
        return module.eval()

    def _make(self, part: str, config: dict[str, Any]) -> nn.Module:
        try:
            module: nn.Module = _built(config)
            return module
        except ConfigError as error:  # which says itself what can be done
            raise CheckpointError(f"{self.path} has a configuration of a {part} that cannot be built: {error}") from error
        except Exception as error:  # what stands on the list may still not fit together, in any way
            raise CheckpointError(
                f"{self.path} has a configuration of a {part} that cannot be built ({type(error).__name__}); "
                f"use the version of dld_spotter that wrote it"
            ) from error

    def fingerprint(self) -> str:
        """SHA-256 of the file, or of the weights where they come with another package."""
        digest = hashlib.sha256()
        if self.path.is_file():
            digest.update(self.path.read_bytes())
        else:
            for name, value in self.state.items():
                digest.update(name.encode() + value.numpy().tobytes())
        return digest.hexdigest()

    @property
    def reader(self) -> str:
        """The part that reads: the student where there is one, else the teacher."""
        return "student" if "student" in self.parts() else "teacher"

    def spotter(self) -> Spotter:
        """The part that reads."""
        return cast(Spotter, self.build(self.reader))  # whose configuration was checked to be one

    def policy(self, device: torch.device | None = None) -> Policy | None:
        """The policy that decides how images are read, ready for use; None where there is none.

        Args:
            device: of a learnt selector; None for the CPU.
        """
        origin = str(self.path)
        if "operating_points" in self.provenance:
            return OperatingPointPolicy.from_facts(self.provenance, origin)
        if "selector" not in self.parts():
            return None
        kind = str(self.provenance["model"].get("selector", {}).get("_target_")).rpartition(".")[2]
        if kind == RETIRED:
            logger.warning(
                "%s holds a selector of an earlier version (%s), which is gone: it is read at full resolution or the scale= "
                "that is asked for; fit_operating_points ckpt=%s lets it hold budgets again",
                *(self.path, kind, self.path),
            )
            return None
        selector = folded(cast(Selector, self.build("selector"))).to(device or torch.device("cpu"))
        selector.thumbnail = self.provenance["thumbnail"]
        if "calibration" in self.provenance:
            selector.calibration = Calibration.from_dict(self.provenance["calibration"], origin)
        return selector

    def second_pass(self) -> SecondPassRule:
        """When and where to read again, as it was fitted to the student; the untaught rule where it was not."""
        if "second_pass" not in self.provenance:
            return SecondPassRule()
        return SecondPassRule.from_dict(self.provenance["second_pass"], str(self.path))

    def score_scaling(self) -> ScoreScaling | None:
        """From scores to how likely words are right, as it was fitted to the student; None where it was not."""
        if SCORE_SCALING not in self.provenance:
            return None
        return ScoreScaling.from_dict(self.provenance[SCORE_SCALING], str(self.path))


def locate(name: str | Path) -> Path:
    """Path of a checkpoint file; ``bundled`` and ``bundled_tiny`` mean weights that travel with the package."""
    known = WEIGHTS.get(str(name))
    return Path(name) if known is None else Path(str(files("dld_spotter") / "assets" / "weights" / known))


def load_checkpoint(name: str | Path, vocabulary: str | Path | None = None, charset: Charset | None = None) -> Checkpoint:
    """Read a checkpoint.

    Args:
        name: a file, ``bundled``, ``bundled_tiny``, or ``ppocr_small`` for PP-OCRv6 small as the package rapidocr has it.
        vocabulary: of its spotters, in place of the one that they have been given: ``english``, a file, or ``none``.
        charset: what is to be written, for weights that know more characters than are asked for; None for printable ASCII.

    Raises:
        CheckpointError: the file is missing, damaged, or no checkpoint of this package; or rapidocr is not installed.
        ConfigError: the vocabulary cannot be read.
    """
    if str(name) == ppocr.NAME:
        return _with_vocabulary(Checkpoint(Path(ppocr.NAME), *ppocr.convert(charset)), vocabulary)
    return _with_vocabulary(_read(locate(name)), vocabulary)


def _read(path: Path) -> Checkpoint:
    """Read and check a file."""
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} does not exist; give a file, or 'bundled' for the weights of the package")
    try:
        with open_archive(path, BOUNDS) as archive:
            archive.refuse_packed(path.stat().st_size)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise almost anything
        raise CheckpointError(
            f"checkpoint {path} is damaged or was not written by torch.save of plain values ({type(error).__name__})"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(content.get(key), dict) for key in ("state_dict", "dld_spotter")):
        raise CheckpointError(f"checkpoint {path} was not written by dld_spotter; train one with `python -m dld_spotter.train`")
    provenance, state = content["dld_spotter"], content["state_dict"]
    check_plain(provenance, f"checkpoint {path}", tuple(f"model.{part}" for part in PARTS))
    provenance = renamed(provenance)
    if provenance.get("format") != FORMAT:
        raise CheckpointError(
            f"checkpoint {path} has format {shown(provenance.get('format'))}, expected {FORMAT}; use the version that wrote it"
        )
    check_provenance(provenance, f"checkpoint {path}")
    _check_tensors(state, path)
    return Checkpoint(path, provenance, state)


def _with_vocabulary(checkpoint: Checkpoint, vocabulary: str | Path | None) -> Checkpoint:
    """Give the spotters of a checkpoint another vocabulary; None leaves them the one that they have."""
    if vocabulary is None:
        return checkpoint
    known, models = Vocabulary.of(vocabulary), checkpoint.provenance["model"]
    spotters = {
        part: {**models[part], "vocabulary": known and known.source} for part in READERS if isinstance(models.get(part), dict)
    }
    return replace(checkpoint, provenance=checkpoint.provenance | {"model": models | spotters}, given=True)


def save_checkpoint(path: Path, parts: Mapping[str, nn.Module], provenance: Mapping[str, Any]) -> None:
    """Write parts for inference, in half precision, whole or not at all."""
    state = {
        f"{part}.{name}": value.half() if value.is_floating_point() else value
        for part, module in parts.items()
        for name, value in module.state_dict().items()
    }
    model = {part: provenance["model"][part] for part in parts}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, {"state_dict": state, "dld_spotter": {**provenance, "model": model}})


def amend(path: Path, facts: Mapping[str, Any]) -> None:
    """Add plain values to what a checkpoint says of itself; its weights and its training state stay as they are."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    write_whole(path, {**content, "dld_spotter": {**content["dld_spotter"], **facts}})


def write_whole(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file whole or not at all."""
    stream = BytesIO()  # torch itself does not say why a file cannot be written
    torch.save(content, stream)
    with whole(path) as partial:
        partial.write_bytes(stream.getbuffer())


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], path: Path, partial: bool = False) -> list[str]:
    """Copy weights into a module.

    Args:
        module: where to.
        weights: name -> tensor.
        path: where they come from, for the messages.
        partial: leave what ``weights`` lacks, or has in another shape, as it is.

    Returns:
        the names of what was left.

    Raises:
        CheckpointError: names or shapes differ; with ``partial``, none fits.
    """
    own = module.state_dict()
    missing = sorted(set(own) - set(weights))
    shapes = sorted(name for name in set(own) & set(weights) if own[name].shape != weights[name].shape)
    fitting = {name: weights[name] for name in own if name in weights and name not in shapes}
    if partial and fitting:
        module.load_state_dict(own | fitting)
        return sorted(missing + shapes)
    check_fit(own, weights, path)
    module.load_state_dict(fitting)
    return []


def check_fit(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], path: Path) -> None:
    """Raise CheckpointError unless weights have the names and shapes of a module's ``own``."""
    for what, names in (
        ("lacks", set(own) - set(weights)),
        ("has the unknown", set(weights) - set(own)),
        ("has another shape of", {name for name in set(own) & set(weights) if own[name].shape != weights[name].shape}),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise CheckpointError(
                f"checkpoint {path} {what} {min(names)}{more}; it belongs to another spotter or charset configuration"
            )


def _check_tensors(state: Mapping[Any, Any], path: Path) -> None:
    """Raise CheckpointError unless weights are dense tensors by name, none of them larger than what the file holds of it."""
    for name, value in state.items():
        sound = isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided
        sound = sound and value.device.type == "cpu" and not value.is_quantized
        if not sound or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise CheckpointError(f"checkpoint {path} holds weights that are no plain tensors by name; do not trust this file")


def _built(tree: Any) -> Any:
    """Build what a checked configuration describes."""
    if isinstance(tree, Mapping):
        values = {key: _built(value) for key, value in tree.items() if key != "_target_"}
        if "_target_" not in tree:
            return values
        kind: Any = locate_object(tree["_target_"])
        return kind(**values)
    return [_built(value) for value in tree] if isinstance(tree, list | tuple) else tree
