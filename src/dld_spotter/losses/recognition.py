"""Losses of the recognition branch, per word."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_spotter.core.batches import Recognition
from dld_spotter.core.charset import BLANK, PADDING


def sequence_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy per character, END included.

    Args:
        logits: ``(N, L, V)``.
        labels: ``(N, L)`` int64, padded after END.

    Returns:
        ``(N,)``.
    """
    entropy = F.cross_entropy(logits.float().transpose(1, 2), labels, ignore_index=PADDING, reduction="none")
    return entropy.sum(1) / (labels != PADDING).sum(1).clamp(min=1)


def ctc_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """CTC loss per character ``(N,)`` of ``(N, T, V)`` logits; a word too long for T columns counts 0.

    The END symbol of ``labels`` ``(N, L)`` is no character of CTC and is left out.
    """
    log_probabilities = logits.float().log_softmax(-1).transpose(0, 1)
    lengths = (labels != PADDING).sum(1) - 1
    columns = torch.full_like(lengths, logits.shape[1])
    loss = F.ctc_loss(log_probabilities, labels[:, :-1], columns, lengths, blank=BLANK, reduction="none", zero_infinity=True)
    return loss / lengths.clamp(min=1)


class RecognitionLoss(nn.Module):
    """Attention cross-entropy plus weighted CTC; CTC alone for recognisers without an attention decoder.

    Args:
        attention: weight of the attention decoder.
        ctc: weight of the CTC head.
    """

    def __init__(self, attention: float = 1.0, ctc: float = 1.0) -> None:
        super().__init__()
        self.attention = attention
        self.ctc = ctc

    def forward(self, recognition: Recognition, labels: Tensor) -> Tensor:
        """Loss ``(N,)`` of each word against ``labels`` ``(N, L)``."""
        if not len(labels):
            # No word: zero that still reaches every parameter, so that data-parallel training finds a gradient everywhere.
            read = (recognition.logits, recognition.ctc_logits, recognition.roi)
            return torch.stack([values.sum() for values in read if values is not None]).sum().expand(1)[:0]
        loss = self.ctc * ctc_loss(recognition.ctc_logits, labels)
        if recognition.logits is None:
            return loss
        return self.attention * sequence_cross_entropy(recognition.logits, labels) + loss
