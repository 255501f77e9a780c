"""The precision that a training computes in."""

from dld_spotter.core.errors import ConfigError
from dld_spotter.core.precision import computes_in_half

AUTO = "auto"
HALF, SINGLE = "bf16-mixed", "32-true"


def precision(asked: str | int, accelerator: str) -> str | int:
    """What Lightning is asked for: ``auto`` is bfloat16 beside single precision where the accelerator computes in it.

    Raises:
        ConfigError: bfloat16 is asked for where it is not computed in.
    """
    half = computes_in_half(accelerator)
    if asked == AUTO:
        return HALF if half else SINGLE
    if str(asked).startswith("bf16") and not half:
        raise ConfigError(
            f"trainer.precision={asked} needs a GPU or a CPU that computes in bfloat16, such as one with AVX-512; "
            f"give trainer.precision={SINGLE}"
        )
    return asked
