"""What a processor computes in."""

import torch


def computes_in_half(accelerator: str) -> bool:
    """Whether an accelerator computes in bfloat16 itself.

    On a CPU without AVX-512 convolutions in bfloat16 are many times slower than in single precision, and LSTM layers fail.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if accelerator == "cpu" or (accelerator == "auto" and not torch.backends.mps.is_available()):
        available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        return available and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return True


def has_half_instructions() -> bool:
    """Whether the CPU has instructions for bfloat16 (AVX512_BF16 or AMX), so that it saves time and not memory alone."""
    return computes_in_half("cpu") and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
