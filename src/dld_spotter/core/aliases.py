"""Earlier names of classes and settings: files that were written under them go on working, and so do overrides."""

from typing import Any

CLASSES = {
    "dld_spotter.charset.Charset": "dld_spotter.core.charset.Charset",
    "dld_spotter.models.selector.FixedScale": "dld_spotter.selection.selectors.FixedScale",
    "dld_spotter.models.selector.RandomScale": "dld_spotter.selection.selectors.RandomScale",
    "dld_spotter.models.selector.GumbelSelector": "dld_spotter.selection.selectors.GumbelSelector",
    "dld_spotter.models.selector.QualitySelector": "dld_spotter.selection.selectors.QualitySelector",
}
"""Class as checkpoints may name it -> class as it is called now."""


def renamed(tree: Any) -> Any:
    """Plain values under the names of now."""
    if isinstance(tree, dict):
        values = {key: renamed(value) for key, value in tree.items()}
        target = values.get("_target_")
        return values | {"_target_": CLASSES.get(target, target)} if isinstance(target, str) else values
    return [renamed(value) for value in tree] if isinstance(tree, list | tuple) else tree
