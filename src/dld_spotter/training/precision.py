"""The precision that a training computes in."""

import torch

from dld_spotter.core.errors import ConfigError

AUTO = "auto"
HALF, SINGLE = "bf16-mixed", "32-true"


def computes_in_half(accelerator: str) -> bool:
    """Whether an accelerator computes in bfloat16 itself.

    On a CPU without AVX-512 convolutions in bfloat16 are many times slower than in single precision, and LSTM layers fail.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if accelerator == "cpu" or (accelerator == "auto" and not torch.backends.mps.is_available()):
        return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return True


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
