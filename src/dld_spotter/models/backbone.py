"""Backbones of `transformers`, by configuration or with published weights."""

from typing import Any

from torch import Tensor, nn
from transformers import AutoBackbone, AutoConfig

from dld_spotter.errors import ConfigError

STRIDES = (4, 8, 16, 32)


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
        stages = [f"stage{i}" for i in range(1, 5)]
        if pretrained is not None:
            if settings:
                raise ConfigError(
                    f"backbone.settings must be empty beside backbone.pretrained={pretrained}; remove one of the two"
                )
            self.body = AutoBackbone.from_pretrained(pretrained, out_features=stages)
        else:
            try:
                config = AutoConfig.for_model(name, **settings, out_features=stages)
            except ValueError as error:
                raise ConfigError(
                    f"backbone.name={name} is not a model type of transformers that has a backbone: {error}"
                ) from error
            self.body = AutoBackbone.from_config(config)
        self.channels: list[int] = list(self.body.channels)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(B, 3, H, W)`` normalised images, H and W multiples of 32, to four maps ``(B, C_i, H/s_i, W/s_i)``."""
        return list(self.body(images).feature_maps)
