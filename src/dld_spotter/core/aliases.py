"""Earlier names of classes and settings: files that were written under them go on working, and so do overrides."""

import re
from typing import Any

CLASSES = {
    "dld_spotter.charset.Charset": "dld_spotter.core.charset.Charset",
    "dld_spotter.models.selector.FixedScale": "dld_spotter.selection.baselines.FixedScale",
    "dld_spotter.models.selector.RandomScale": "dld_spotter.selection.baselines.RandomScale",
    "dld_spotter.models.selector.GumbelSelector": "dld_spotter.selection.gumbel.GumbelSelector",
}
"""Class as checkpoints may name it -> class as it is called now."""
SETTINGS = {
    "close_up": "full_resolution_crops",
    "strip": "crop_size",
    "ladder": "operating_points",
    "escalation": "second_pass",
    "price": "gain_threshold",
    "prices": "gain_thresholds",
    "legible": "min_height",
    "false_price": "false_positive_cost",
}
"""Setting of a checkpoint -> what it is called now."""
OVERRIDES = {
    "data.train.datasets.rendered.renderer.layout.probabilities": "data.probabilities",
    "data.train.datasets.rendered.renderer.layout.layouts": "data.layouts",
    "data.train.renderer.layout.layouts.scenes.probabilities": "data.text_sizes",
    "escalation.price": "second_pass.gain_threshold",
    "escalation.legible": "second_pass.min_height",
    "occlusion.legible": "occlusion.max_hidden",
    "escalation": "second_pass",
    "second_look": "two_pass",
    "close_up": "full_resolution_crops",
    "strip": "crop_size",
    "false_price": "false_positive_cost",
    "sheet": "contact_sheet",
}
"""Part of the path of an override -> what it is called now; the longer parts come first. A price of a shop sign is none."""
OPTIONS = {"data=glances": "data=whole", "distillation=finding": "distillation=text_map", "logger=default": "logger=wandb"}
"""Chosen option -> what it is called now."""

_OVERRIDE = re.compile(r"(?P<sign>[+~]*)(?P<path>[\w.@/]+)(?P<rest>=.*)?", re.DOTALL)


def renamed(tree: Any) -> Any:
    """Plain values of a checkpoint under the names of now."""
    if isinstance(tree, dict):
        values = {SETTINGS.get(key, key): renamed(value) for key, value in tree.items()}
        target = values.get("_target_")
        return values | {"_target_": CLASSES.get(target, target)} if isinstance(target, str) else values
    return [renamed(value) for value in tree] if isinstance(tree, list | tuple) else tree


def renamed_override(argument: str) -> str:
    """One argument of the command line under the names of now.

    >>> renamed_override("escalation.price=4")
    'second_pass.gain_threshold=4'
    >>> renamed_override("model.student.close_up=true"), renamed_override("data=glances")
    ('model.student.full_resolution_crops=true', 'data=whole')
    """
    found = _OVERRIDE.fullmatch(argument)
    if argument.startswith("-") or not found:
        return argument
    path = f".{found['path']}."
    for earlier, now in OVERRIDES.items():
        path = path.replace(f".{earlier}.", f".{now}.")
    path = path[1:-1]
    appended = found["sign"] == "+" and path != found["path"]  # the present name may be there already
    rest = found["rest"] or ""
    if rest:  # a sweep names several options
        options = (OPTIONS.get(f"{path}={option.strip()}", f"={option}") for option in rest[1:].split(","))
        rest = "=" + ",".join(option.partition("=")[2] for option in options)
    return f"{'++' if appended else found['sign']}{path}{rest}"
