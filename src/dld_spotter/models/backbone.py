"""Backbones of `transformers`, by configuration or with published weights.

The package takes a second to import, so it waits for a spotter that has one.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_spotter.core.errors import ConfigError

STRIDES = (4, 8, 16, 32)
STAGES = ["stage1", "stage2", "stage3", "stage4"]


class Backbone(nn.Module):
    """A `transformers` backbone that returns its four stages at strides 4, 8, 16 and 32.

    Args:
        name: model type of `transformers` (`resnet`, `textnet`, `convnextv2`, `swin` ...).
        settings: configuration values that differ from that type's defaults.
        pretrained: folder or hub name of published weights; then ``settings`` must be empty.

    Raises:
        ConfigError: the type is unknown, takes other settings, or has other strides.
    """

    def __init__(self, name: str, settings: dict[str, Any] | None = None, pretrained: str | None = None) -> None:
        super().__init__()
        settings = dict(settings or {})
        if pretrained is None:
            self.body = _from_settings(name, settings)
        elif settings:
            raise ConfigError(f"backbone.settings must be empty beside backbone.pretrained={pretrained}; remove one of the two")
        else:
            from transformers import AutoBackbone

            self.body = AutoBackbone.from_pretrained(pretrained, out_features=STAGES)
        self.channels: list[int] = list(self.body.channels)
        strides = self._strides()
        if strides != STRIDES:
            raise ConfigError(f"backbone.name={name} has the strides {strides}, expected {STRIDES}; choose another one")

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(B, 3, H, W)`` normalised images, H and W multiples of 32, to four maps ``(B, C_i, H/s_i, W/s_i)``."""
        batch, _, height, width = images.shape
        if batch * height * width == STRIDES[-1] ** 2 and self._takes_statistics():  # one coarse cell has no variance
            images = F.pad(images, (0, width))
        return [level[..., : width // stride] for level, stride in zip(self.body(images).feature_maps, STRIDES, strict=True)]

    def _takes_statistics(self) -> bool:
        return any(module.training for module in self.modules() if isinstance(module, nn.BatchNorm2d))

    @torch.no_grad()
    def _strides(self) -> tuple[int, ...]:
        maps = self.body.eval()(torch.zeros(1, 3, 64, 64)).feature_maps
        self.body.train()
        return tuple(64 // level.shape[-1] for level in maps)


def published_settings(pretrained: str) -> dict[str, Any]:
    """Model type and settings of published weights, in the form of :class:`Backbone`: a checkpoint needs no more of them."""
    from transformers import AutoConfig, PreTrainedConfig

    config = AutoConfig.from_pretrained(pretrained)
    usual = AutoConfig.for_model(config.model_type).to_dict()
    own = usual.keys() - PreTrainedConfig().to_dict().keys() - {"out_features", "out_indices", "stage_names"}
    values = config.to_dict()
    return {"name": config.model_type, "settings": {key: values[key] for key in sorted(own) if values[key] != usual[key]}}


def _from_settings(name: str, settings: dict[str, Any]) -> nn.Module:
    """Build an untrained backbone; `transformers` itself would ignore settings that it does not know."""
    from transformers import AutoBackbone, AutoConfig

    try:
        unknown = sorted(set(settings) - set(AutoConfig.for_model(name).to_dict()))
        body = None if unknown else AutoBackbone.from_config(AutoConfig.for_model(name, **settings, out_features=STAGES))
    except Exception as error:  # every model type has exceptions of its own
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(f"backbone.name={name} with backbone.settings={settings} cannot be built: {reason}") from error
    if body is None:
        raise ConfigError(f"backbone.settings of {name} has the unknown {', '.join(unknown)}; remove it")
    return body
