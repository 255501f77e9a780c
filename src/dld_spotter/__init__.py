"""Text spotting at the resolution each photo needs (Dynamic Low-resolution Distillation, arXiv 2207.06694)."""
