"""From log-probabilities to character sequences, for whole batches of words at once."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from dld_spotter.core.charset import BLANK, END, PADDING, SPECIAL, START

State = tuple[Tensor, ...]
"""What a decoder carries from step to step; every tensor's second dimension runs over the words."""
DecoderStep = Callable[[Tensor, State, Tensor], tuple[Tensor, State]]
"""``(tokens (M,), state, word (M,)) -> (log-probabilities (M, V), state)``; ``word`` tells which word a row belongs to."""


def greedy_search(step: DecoderStep, state: State, words: int, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Take the likeliest character at every step, until every word has ended or ``length`` is reached.

    Returns:
        labels ``(words, L)`` int64 padded after END, and the mean log-probability per character ``(words,)``, END included.
    """
    tokens = torch.full((words,), START, dtype=torch.int64, device=device)
    rows = torch.arange(words, device=device)
    ended = torch.zeros(words, dtype=torch.bool, device=device)
    total = torch.zeros(words, device=device)
    steps = torch.zeros(words, device=device)
    labels = []
    for _ in range(length):
        log_probabilities, state = step(tokens, state, rows)
        best, tokens = log_probabilities.max(dim=-1)
        tokens = torch.where(ended, PADDING, tokens)
        total = total + torch.where(ended, 0.0, best)
        steps = steps + (~ended).float()
        labels.append(tokens)
        ended = ended | (tokens == END)
        if bool(ended.all()):
            break
    stacked = torch.stack(labels, dim=1) if labels else tokens.new_zeros(words, 0)
    return stacked, total / steps.clamp(min=1)


def beam_search(
    step: DecoderStep, state: State, words: int, length: int, beams: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Keep the ``beams`` likeliest sequences of every word (sums of log-probabilities, END included).

    Args:
        step: the decoder's step.
        state: its state before the first step, one row per word.
        words: number of words.
        length: most characters, END included.
        beams: sequences kept per word.
        device: where to compute.

    Returns:
        labels ``(words, beams, L)`` int64 padded after END, likeliest first, and their log-probabilities
        ``(words, beams)``; -inf marks a beam that does not exist (fewer sequences than beams).
    """
    rows = torch.arange(words, device=device).repeat_interleave(beams)
    state = tuple(tensor.repeat_interleave(beams, dim=1) for tensor in state)
    tokens = torch.full((words * beams,), START, dtype=torch.int64, device=device)
    scores = torch.full((words, beams), float("-inf"), device=device)
    scores[:, 0] = 0.0
    ended = torch.zeros(words, beams, dtype=torch.bool, device=device)
    labels = torch.zeros(words, beams, 0, dtype=torch.int64, device=device)
    for _ in range(length):
        log_probabilities, state = step(tokens, state, rows)
        classes = log_probabilities.shape[-1]
        stay = torch.full((classes,), float("-inf"), device=device)
        stay[PADDING] = 0.0
        moves = torch.where(ended[..., None], stay, log_probabilities.float().view(words, beams, classes))
        scores, flat = (scores[..., None] + moves).flatten(1).topk(beams, dim=1)
        parent, token = flat // classes, flat % classes
        labels = torch.cat([labels.gather(1, parent[..., None].expand(-1, -1, labels.shape[-1])), token[..., None]], dim=2)
        ended = ended.gather(1, parent) | (token == END)
        origin = (torch.arange(words, device=device)[:, None] * beams + parent).view(-1)
        state = tuple(tensor[:, origin] for tensor in state)
        tokens = token.view(-1)
        if bool(ended.all()):
            break
    return labels, scores


def path_log_probability(logits: Tensor, paths: Tensor) -> Tensor:
    """Log-probability of label paths: the sum over their characters, END included.

    Args:
        logits: ``(..., L, V)``.
        paths: ``(..., L)`` int64, padded after END.

    Returns:
        ``(...)``, in single precision at least.
    """
    log_probabilities = logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
    return log_probabilities.gather(-1, paths[..., None])[..., 0].masked_fill(paths == PADDING, 0.0).sum(-1)


def ctc_greedy(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Best path of CTC: repeats merged, blanks removed.

    Args:
        logits: ``(N, T, V)``.

    Returns:
        labels ``(N, T)`` int64, packed to the left and padded, and the mean log-probability ``(N,)`` of the columns that
        write a character (of all columns where none does).
    """
    log_probabilities = F.log_softmax(logits.float(), dim=-1)
    best, path = log_probabilities.max(dim=-1)
    previous = F.pad(path[:, :-1], (1, 0), value=BLANK)
    keep = (path != BLANK) & (path != previous)
    order = keep.long().argsort(dim=1, descending=True, stable=True)
    labels = torch.where(keep, path, PADDING).gather(1, order)
    counted = torch.where(keep.any(dim=1, keepdim=True), keep, True)
    return labels, (best * counted).sum(1) / counted.sum(1).clamp(min=1)


def ctc_log_probability(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-probability of texts under CTC: the sum over everything that collapses to them (the forward algorithm).

    Args:
        logits: ``(M, T, V)``.
        labels: ``(M, L)`` int64, padded after END, which is no character of CTC.

    Returns:
        ``(M,)`` in single precision; -inf for a text that T columns cannot write.
    """
    if logits.is_meta or not len(labels):  # nothing that the flop counter knows
        return logits.new_zeros(len(labels), dtype=torch.float32)
    log_probabilities = logits.float().log_softmax(-1).transpose(0, 1)
    lengths = (labels != PADDING).sum(1) - 1
    columns = torch.full_like(lengths, logits.shape[1])
    return -F.ctc_loss(log_probabilities, labels, columns, lengths, blank=BLANK, reduction="none")


def ctc_beam_search(logits: Tensor, beams: int) -> tuple[Tensor, Tensor]:
    """Prefix beam search of CTC (Graves et al., 2014; Hannun et al., arXiv 1408.2873), all words at once.

    A prefix is carried with the probability of having written it and then a blank, and of having just written its last
    character. Prefixes are told apart by a hash of their characters.

    Args:
        logits: ``(N, T, V)``.
        beams: prefixes kept.

    Returns:
        labels ``(N, beams, L)`` int64, padded after END, likeliest first, and their log-probabilities ``(N, beams)``; -inf
        marks a beam that does not exist.
    """
    log_probabilities = logits.float().log_softmax(-1)
    words, columns, classes = log_probabilities.shape
    never = log_probabilities.new_full((words, beams), float("-inf"))
    labels = torch.full((words, beams, columns + 1), PADDING, device=logits.device)
    lengths = torch.zeros((words, beams), dtype=torch.int64, device=logits.device)
    last, hashes = torch.full_like(lengths, BLANK), torch.arange(beams, device=logits.device).expand(words, -1) * -1
    blank, written = never.clone(), never.clone()
    blank[:, 0] = 0.0
    characters = torch.arange(classes, device=logits.device)
    no_character = characters < SPECIAL
    for column in log_probabilities.unbind(1):
        total = torch.logaddexp(blank, written)
        stay_blank = total + column[:, BLANK, None]
        stay_written = written + column.gather(1, last)
        before = torch.where(characters == last[..., None], blank[..., None], total[..., None])
        longer = (before + column[:, None]).masked_fill(no_character, float("-inf"))
        # A longer prefix that is kept already gets what is added to it, and is no candidate of its own.
        same = (_extended(hashes[:, :, None], last[:, None]) == hashes[:, None]) & (lengths > 0)[:, None]
        reached = longer.gather(2, last[:, None].expand(-1, beams, -1)).masked_fill(~same, float("-inf"))
        stay_written = torch.logaddexp(stay_written, reached.logsumexp(1))
        taken = torch.zeros_like(longer).scatter_add_(2, last[:, None].expand(-1, beams, -1), same.to(longer.dtype)) > 0
        longer = longer.masked_fill(taken, float("-inf"))
        stay = torch.logaddexp(stay_blank, stay_written)
        _, flat = torch.cat([stay, longer.flatten(1)], dim=1).topk(beams, dim=1)
        grown = flat >= beams
        parent = torch.where(grown, (flat - beams) // classes, flat)
        character = torch.where(grown, (flat - beams) % classes, last.gather(1, parent))
        blank = stay_blank.gather(1, parent).masked_fill(grown, float("-inf"))
        written = torch.where(grown, longer.flatten(1).gather(1, (flat - beams).clamp(min=0)), stay_written.gather(1, parent))
        labels = labels.gather(1, parent[..., None].expand_as(labels))
        lengths, hashes = lengths.gather(1, parent), hashes.gather(1, parent)
        position = lengths[..., None]
        labels = labels.scatter(2, position, torch.where(grown, character, PADDING)[..., None])
        hashes = torch.where(grown, _extended(hashes, character), hashes)
        lengths, last = lengths + grown, character
    scores, order = torch.logaddexp(blank, written).sort(dim=1, descending=True)
    labels = labels.scatter(2, lengths[..., None], END).gather(1, order[..., None].expand_as(labels))
    return labels[..., : int(lengths.max()) + 1], scores


def _extended(hashes: Tensor, characters: Tensor) -> Tensor:
    """Hashes of sequences with one more character each; they wrap around at 64 bits."""
    return hashes * 1_000_003 + characters + 1
