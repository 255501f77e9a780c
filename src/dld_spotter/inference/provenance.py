"""What a checkpoint or an export may say of itself: plain values, and the few classes that they may build.

A file that somebody else made is a stranger's word. Its values are checked here, all of them and before any of them is used:
:func:`check_plain` looks at their types, :func:`check_provenance` at what every checkpoint says, and :func:`check_part` at the
configuration of a spotter or a selector. ``ARGUMENTS`` is the only list of what a checkpoint may build. Needs no torch.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from dld_spotter.core.errors import CheckpointError, shown
from dld_spotter.inference.rules import Rule, either, number, one_of, several, text, whole
from dld_spotter.models.vocabulary import ENGLISH, NONE

DEPTH = 16
"""Most levels of lists and dictionaries within each other."""
VALUES = 100_000
"""Most values of a checkpoint."""
CHARACTERS = 200_000
"""Most characters of a text: a charset may hold all of Unicode that is assigned."""
LARGEST = 2**53
"""Whole numbers up to this are exact as fractions too."""
DISTRUST = "do not trust this file"
WIDEST, DEEPEST = 65_536, 256
"""Most channels of a layer, and most layers of a kind."""
THUMBNAIL = 4096
"""Longest side of a thumbnail."""
SCALE = 16.0
"""Highest scale."""
BACKBONES = (
    "bit",
    "convnext",
    "convnextv2",
    "dinov3_convnext",
    "focalnet",
    "hgnet_v2",
    "maskformer-swin",
    "pvt_v2",
    "resnet",
    "rt_detr_resnet",
    "swin",
    "swinv2",
    "textnet",
)
"""Model types of `transformers` that are built from numbers alone; ``timm_backbone`` asks the network for weights."""


def _ascending(value: Any) -> bool:
    return all(low < high for low, high in pairwise(value))


FLAG = Rule("true or false", lambda value: type(value) is bool)
NOTHING = one_of(None)
WIDTH = whole(1, WIDEST)
_RISING = several(number(1e-3, SCALE), 1, 64)
SCALES = Rule(
    f"an ascending list of numbers above 0 and at most {SCALE:g}", lambda value: _RISING.allows(value) and _ascending(value)
)


def _setting(key: str, value: Any) -> bool:
    """Whether a setting of a backbone is sane: numbers, names of activations and lists of these."""
    if type(value) in (list, tuple):
        return all(_setting(key, item) for item in value)
    if type(value) is int:
        return abs(value) <= (DEEPEST if any(part in key for part in ("depth", "layer", "block")) else WIDEST)
    return value is None or type(value) in (bool, float) or (type(value) is str and len(value) <= 64)


SETTINGS = Rule(
    f"numbers up to {WIDEST} ({DEEPEST} for depths), short texts, and lists of these",
    lambda value: type(value) is dict and all(_setting(key, item) for key, item in value.items()),
)
_SELECTOR = {
    "scales": SCALES,
    "gamma": number(0, 1e9),
    "factors": several(number(0, 1e9), 1, 64),
}
_NETWORK = _SELECTOR | {"channels": several(WIDTH, 1, 16), "hidden": WIDTH}
_DECODER = {
    "threshold": number(0, 1),
    "min_score": number(0, 1),
    "shrink": number(0, 1),
    "min_height": number(0, 1e4),
    "max_words": whole(1, 1_000_000),
    "points": whole(2, 1024),
    "curved_below": number(0, 1),
    "turned_above": number(0, 1e4),
    "levels": either(several(number(0, 1), 0, 16), number(0, 1)),
    "stride": whole(1, 64),
    "join_above": number(0, 1),
}
CHARSET, BACKBONE = "dld_spotter.core.charset.Charset", "dld_spotter.models.backbone.Backbone"
DECODER, SPOTTER = "dld_spotter.models.detector.TextMapDecoder", "dld_spotter.models.spotter.TextMapSpotter"
PPOCR_SPOTTER = "dld_spotter.models.ppocr.spotter.PPOCRSpotter"
PPOCR_RECOGNIZER = "dld_spotter.models.ppocr.reading.PPOCRWordRecognizer"
TWO_STAGE = "dld_spotter.models.two_stage"
TWO_STAGE_SPOTTER, REGION_DETECTOR = f"{TWO_STAGE}.spotter.TwoStageSpotter", f"{TWO_STAGE}.detector.RegionDetector"
PROPOSING, SAMPLING = f"{TWO_STAGE}.proposing.Proposing", f"{TWO_STAGE}.loss.Sampling"
MASKED_RECOGNIZER, REGION_DECODER = f"{TWO_STAGE}.recognizer.MaskedRecognizer", f"{TWO_STAGE}.reading.RegionDecoder"
VOCABULARY = either(NOTHING, text(4096))
"""Which one may be opened is told by :func:`check_vocabulary`."""
ARGUMENTS: dict[str, Mapping[str, Rule | str]] = {
    CHARSET: {"characters": text(CHARACTERS), "fold_case": FLAG},
    BACKBONE: {"name": one_of(*BACKBONES), "settings": either(SETTINGS, NOTHING), "pretrained": NOTHING},
    DECODER: _DECODER,
    SPOTTER: {
        "charset": CHARSET,
        "backbone": BACKBONE,
        "channels": WIDTH,
        "head_channels": WIDTH,
        "widths": several(WIDTH, 3, 3),
        "hidden": WIDTH,
        "postprocess": DECODER,
        "layers": whole(1, 16),
        "max_length": whole(1, 4096),
        "decoder": one_of("attention", "ctc"),
        "crop_size": several(whole(1, 1024), 2, 2),
        "min_score": number(0, 1),
        "blocks": several(whole(0, DEEPEST), 2, 2),
        "full_resolution_crops": FLAG,
        "vocabulary": VOCABULARY,
        "recognizer": PPOCR_RECOGNIZER,
    },
    PPOCR_RECOGNIZER: {
        "charset": CHARSET,
        "stages": several(WIDTH, 3, 3),
        "channels": WIDTH,
        "expansion": number(0, 16),
        "margin": number(0, 1),
        "halve_width": FLAG,
        "counted_width": whole(8, 640),
        "width_ratio": number(0.1, 1),
    },
    PPOCR_SPOTTER: {
        "charset": CHARSET,
        "recognizer": PPOCR_RECOGNIZER,
        "postprocess": DECODER,
        "stages": several(WIDTH, 4, 4),
        "channels": WIDTH,
        "min_score": number(0, 1),
        "vocabulary": VOCABULARY,
        "split_at_spaces": FLAG,
    },
    REGION_DECODER: {
        "threshold": number(0, 1),
        "unsure": number(0, 1),
        "overlap": number(0, 1),
        "max_words": whole(1, 10_000),
        "mask_threshold": number(0, 1),
        "min_height": number(0, 1e4),
        "points": whole(2, 1024),
        "curved_below": number(0, 1),
        "turned_above": number(0, 1e4),
    },
    PROPOSING: {
        "scale": number(0.1, 1e3),
        "ratios": several(number(0.01, 100), 1, 64),
        "before": whole(1, 10_000),
        "overlap": number(0, 1),
        "most": whole(1, 10_000),
    },
    SAMPLING: {"anchors": whole(1, 1_000_000), "regions": whole(1, 1_000_000)},
    REGION_DETECTOR: {
        "channels": WIDTH,
        "box_hidden": WIDTH,
        "mask_channels": WIDTH,
        "proposing": PROPOSING,
        "sampling": SAMPLING,
        "levels": one_of(4, 5),
    },
    MASKED_RECOGNIZER: {
        "charset": CHARSET,
        "channels": WIDTH,
        "width": WIDTH,
        "hidden": WIDTH,
        "max_length": whole(1, 4096),
        "decoder": one_of("attention", "ctc"),
    },
    TWO_STAGE_SPOTTER: {
        "charset": CHARSET,
        "backbone": BACKBONE,
        "channels": WIDTH,
        "detector": REGION_DETECTOR,
        "recognizer": MASKED_RECOGNIZER,
        "postprocess": REGION_DECODER,
        "min_score": number(0, 1),
        "vocabulary": VOCABULARY,
    },
    "dld_spotter.selection.baselines.FixedScale": _SELECTOR | {"scale": number(0, SCALE)},
    "dld_spotter.selection.baselines.RandomScale": _SELECTOR | {"seed": whole(0, 2**32 - 1)},
    "dld_spotter.selection.gumbel.GumbelSelector": _NETWORK | {"gumbel_temperature": number(0, 1e6)},
}
"""Class -> argument -> what it may be: a rule, or the class of an object, which must be there unless it is ``OPTIONAL``.

Nothing else is built from a checkpoint; no class here opens a file, makes a folder or asks the network.
"""
OPTIONAL = {SPOTTER: ("recognizer",)}
"""Objects that a configuration may leave out, or give as null."""
SPOTTERS = (SPOTTER, PPOCR_SPOTTER, TWO_STAGE_SPOTTER)
PARTS = {
    "teacher": SPOTTERS,
    "student": SPOTTERS,
    "selector": tuple(name for name in ARGUMENTS if name.startswith("dld_spotter.selection.")),
}
"""Part of a checkpoint -> classes that it may be."""


def check_plain(tree: Any, origin: Path | str, buildable: tuple[str, ...] = ()) -> None:
    """Let nothing pass but None, numbers, texts, lists and dictionaries by name, of bounded depth and number.

    Args:
        tree: the values.
        origin: where they come from.
        buildable: branches in which ``_target_`` may stand, such as ``model.student``.

    Raises:
        CheckpointError: something else is among them, or what a configuration would take for an instruction.
    """
    waiting: list[tuple[str, Any, int]] = [("", tree, 0)]
    seen = 0
    while waiting:
        name, value, depth = waiting.pop()
        seen += 1
        if seen > VALUES or depth > DEPTH:
            raise CheckpointError(f"{origin} holds more than {VALUES} values or more than {DEPTH} levels of them; {DISTRUST}")
        if type(value) is dict:
            for key in value:
                _check_key(key, name, origin, buildable)
            waiting += [(f"{name}.{key}" if name else key, item, depth + 1) for key, item in value.items()]
        elif type(value) in (list, tuple):
            waiting += [(name, item, depth + 1) for item in value]
        elif type(value) is str:
            if len(value) > CHARACTERS:
                raise CheckpointError(f"{origin} holds a text of {len(value)} characters as {_short(name)}; {DISTRUST}")
            if "${" in value or value == "???":
                raise CheckpointError(
                    f"{origin} holds the interpolation {shown(value)} as {_short(name)}, which could name anything; {DISTRUST}"
                )
        elif not (value is None or type(value) in (bool, float) or (type(value) is int and abs(value) <= LARGEST)):
            raise CheckpointError(
                f"{origin} holds {shown(value)} as {_short(name)}, which is no plain value of sane size; {DISTRUST}"
            )


def _check_key(key: Any, name: str, origin: Path | str, buildable: tuple[str, ...]) -> None:
    if type(key) is not str or len(key) > 200 or "${" in key:
        raise CheckpointError(
            f"{origin} holds the key {shown(key)} in {_short(name) or 'itself'}, which is no name; {DISTRUST}"
        )
    inside = any(name == branch or name.startswith(f"{branch}.") for branch in buildable)
    if key.startswith("_") and not (inside and key == "_target_"):
        raise CheckpointError(f"{origin} holds {shown(key)} in {_short(name) or 'itself'}, where nothing is built; {DISTRUST}")


def _short(name: str) -> str:
    return ascii(name)[1:-1][:80]


def check_value(value: Any, rule: Rule, name: str, origin: Path | str) -> None:
    """Raise CheckpointError if a value is not what a rule says, naming file and key."""
    if not rule.allows(value):
        raise CheckpointError(
            f"{origin} has {name}={shown(value)}, expected {rule.words}; use the version of dld_spotter that wrote it"
        )


def check_fields(values: Any, rules: Mapping[str, Rule], name: str, origin: Path | str) -> None:
    """Check a dictionary that must have these entries; others are left alone.

    Raises:
        CheckpointError: an entry is missing, or is something else.
    """
    prefix = f"{name}." if name else ""
    if type(values) is not dict:
        raise CheckpointError(f"{origin} has {name}={shown(values)}, expected values by name; write it again")
    for key, rule in rules.items():
        if key not in values:
            raise CheckpointError(f"{origin} lacks {prefix}{key}; use the version of dld_spotter that wrote it")
        check_value(values[key], rule, f"{prefix}{key}", origin)


def check_provenance(facts: Mapping[str, Any], origin: Path | str) -> None:
    """Check what every checkpoint says of itself, its parts apart; raises CheckpointError naming the key."""
    parts = Rule("a configuration of each part", lambda value: type(value) is dict)
    check_fields(facts, {"model": parts, "scales": SCALES, "thumbnail": whole(1, THUMBNAIL)}, "", origin)


def check_part(config: Any, part: str, origin: Path | str) -> None:
    """Check the configuration of a part before it is built.

    Args:
        config: what the file says.
        part: teacher, student or selector.
        origin: the file.

    Raises:
        CheckpointError: it asks for a class that is not among ``ARGUMENTS``, or for what such a class does not take.
    """
    _check_build(config, PARTS[part], part, part, origin)


def _check_build(config: Any, targets: tuple[str, ...], name: str, part: str, origin: Path | str) -> None:
    wrong = f"{origin} has a configuration of a {part} that cannot be built:"
    if type(config) is not dict:
        raise CheckpointError(f"{wrong} {name} is {shown(config)}; use the version of dld_spotter that wrote it")
    _refuse_targets(config, origin)
    target = config.get("_target_")
    if target not in targets:
        raise CheckpointError(f"{wrong} {name} is {shown(target)}, expected {' or '.join(targets)}; {DISTRUST}")
    rules = ARGUMENTS[target]
    optional = OPTIONAL.get(target, ())
    for key in (key for key, rule in rules.items() if isinstance(rule, str) and key not in (*config, *optional)):
        raise CheckpointError(f"{wrong} {name} lacks {key}; use the version of dld_spotter that wrote it")
    for key, value in config.items():
        if key == "_target_":
            continue
        rule = rules.get(key)
        if rule is None:
            raise CheckpointError(f"{wrong} {name} has no {shown(key)}; use the version of dld_spotter that wrote it")
        if isinstance(rule, str):
            if value is None and key in optional:
                continue
            _check_build(value, (rule,), f"{name}.{key}", part, origin)
        elif key == "pretrained" and not rule.allows(value):
            raise CheckpointError(
                f"{wrong} {name}.pretrained={shown(value)} names published weights, which a checkpoint cannot have fetched; "
                f"train it again, which keeps the settings of these weights instead"
            )
        elif not rule.allows(value):
            raise CheckpointError(
                f"{wrong} {name}.{key} is {shown(value)}, expected {rule.words}; use the version of dld_spotter that wrote it"
            )


def _refuse_targets(tree: Any, origin: Path | str) -> None:
    """Whatever a configuration would build anywhere in it stands on the list."""
    if type(tree) is dict:
        target = tree.get("_target_")
        if "_target_" in tree and not (type(target) is str and target in ARGUMENTS):
            raise CheckpointError(
                f"{origin} asks to build {shown(target)}, which is no class that dld_spotter builds from a file; {DISTRUST}"
            )
        for value in tree.values():
            _refuse_targets(value, origin)
    elif type(tree) in (list, tuple):
        for value in tree:
            _refuse_targets(value, origin)


def check_vocabulary(source: str | None, origin: Path | str) -> None:
    """Raise CheckpointError if a checkpoint names a file of words: which file is opened is said by who reads, not by a file."""
    if source not in (None, NONE, ENGLISH):
        raise CheckpointError(
            f"{origin} was made with the vocabulary {shown(source)}, a file that a checkpoint cannot have opened; "
            f"give that file as vocabulary=FILE, or vocabulary=english or none"
        )
