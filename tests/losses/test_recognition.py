from itertools import product

import pytest
import torch

from dld_spotter.core.batches import Recognition
from dld_spotter.core.charset import BLANK, END, Charset
from dld_spotter.losses.recognition import RecognitionLoss, ctc_loss, sequence_cross_entropy

CHARSET = Charset("ab")


def probabilities(*shape, seed=0):
    return torch.randn(*shape, len(CHARSET), generator=torch.Generator().manual_seed(seed)).log_softmax(-1)


def recognition(words, length=4, columns=5, grad=False):
    tensors = (
        torch.rand(words, 2, 8, columns),
        torch.rand(words, columns, 3),
        probabilities(words, length),
        probabilities(words, columns),
    )
    return Recognition(*(tensor.requires_grad_(grad) for tensor in tensors))


def collapse(path):
    return [token for i, token in enumerate(path) if token != BLANK and (i == 0 or token != path[i - 1])]


@pytest.mark.parametrize("text", ["a", "ab", "aa", "aba"])
def test_ctc_sums_over_all_alignments(text):
    logits = probabilities(1, 5)
    labels = CHARSET.encode([text], 4)
    wanted = labels[0, : len(text)].tolist()
    total = torch.stack(
        [
            sum(logits[0, i, token] for i, token in enumerate(path))
            for path in product(range(len(CHARSET)), repeat=5)
            if collapse(path) == wanted
        ]
    ).logsumexp(0)
    torch.testing.assert_close(ctc_loss(logits, labels)[0], -total / len(text))


def test_cross_entropy_by_hand():
    logits = probabilities(2, 3)
    labels = CHARSET.encode(["a", "ab"], 3)
    expected = [-(logits[0, 0, 3] + logits[0, 1, END]) / 2, -(logits[1, 0, 3] + logits[1, 1, 4] + logits[1, 2, END]) / 3]
    torch.testing.assert_close(sequence_cross_entropy(logits, labels), torch.stack(expected))


def test_words_too_long_for_the_columns_are_finite():
    logits = probabilities(3, 3).requires_grad_()
    labels = CHARSET.encode(["abab", "aa", "aaa"], 6)  # four columns, three columns, five columns needed
    loss = ctc_loss(logits, labels)
    assert loss.isfinite().all()
    assert loss[0] == loss[2] == 0
    assert loss[1] > 0
    loss.sum().backward()
    assert logits.grad.isfinite().all()
    assert not logits.grad[[0, 2]].any()


def test_empty_text_is_finite():
    labels = CHARSET.encode([""], 3)
    found = RecognitionLoss()(recognition(1, 3), labels)
    assert found.isfinite().all()


def test_words_are_weighed_and_independent():
    words, labels = recognition(4), CHARSET.encode(["a", "ab", "bba", ""], 4)
    both = RecognitionLoss(attention=2.0, ctc=0.5)(words, labels)
    torch.testing.assert_close(
        both, 2 * sequence_cross_entropy(words.logits, labels) + 0.5 * ctc_loss(words.ctc_logits, labels)
    )
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(RecognitionLoss(2.0, 0.5)(words.select(order), labels[order]), both[order])


def test_no_word_keeps_a_gradient_path():
    words = recognition(0, grad=True)
    loss = RecognitionLoss()(words, CHARSET.encode([], 4))
    assert loss.shape == (0,)
    loss.sum().backward()
    assert words.logits.grad is not None


def test_half_precision_is_summed_in_single():
    words = Recognition(*(getattr(recognition(3), name).bfloat16() for name in ("roi", "context", "logits", "ctc_logits")))
    assert RecognitionLoss()(words, CHARSET.encode(["a", "ab", "b"], 4)).dtype == torch.float32
