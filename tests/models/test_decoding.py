from itertools import product

import pytest
import torch

from dld_spotter.core.charset import BLANK, END, PADDING, START
from dld_spotter.models.decoding import beam_search, ctc_beam_search, ctc_greedy, ctc_log_probability, greedy_search

CPU = torch.device("cpu")
WORDS, LENGTH, CLASSES = 3, 3, 6


def table(words=WORDS, seed=0):
    """Log-probabilities of the next character given the one before it and the position: (words, LENGTH, CLASSES, CLASSES)."""
    logits = 2 * torch.randn(words, LENGTH, CLASSES, CLASSES, generator=torch.Generator().manual_seed(seed))
    logits[..., [PADDING, START]] = float("-inf")
    return logits.log_softmax(-1)


def step_of(probabilities):
    """A decoder whose state counts the steps and remembers the word, so that a wrongly reordered state shows."""

    def step(tokens, state, rows):
        position, owner = state[0][0].long(), state[1][0].long()
        assert torch.equal(owner, rows)
        return probabilities[rows, position, tokens], (state[0] + 1, state[1])

    return step


def start(words=WORDS):
    return torch.zeros(1, words), torch.arange(words, dtype=torch.float32)[None]


def enumerate_sequences(probabilities):
    """Every sequence with its log-probability: ended ones, and unended ones of full length."""
    found = {}
    for length in range(1, LENGTH + 1):
        for sequence in product(range(3, CLASSES), repeat=length - 1):
            for last in [END] if length < LENGTH else [END, *range(3, CLASSES)]:
                path = (*sequence, last)
                score = sum(
                    float(probabilities[i, before, token])
                    for i, (before, token) in enumerate(zip((START, *path), path, strict=False))
                )
                found[path + (PADDING,) * (LENGTH - length)] = score
    return sorted(found.items(), key=lambda item: -item[1])


@pytest.mark.parametrize("seed", range(3))
def test_wide_beams_find_every_sequence_in_order(seed):
    probabilities = table(seed=seed)
    beams = len(enumerate_sequences(probabilities[0])) + 5
    labels, scores = beam_search(step_of(probabilities), start(), WORDS, LENGTH, beams, CPU)
    for word in range(WORDS):
        expected = enumerate_sequences(probabilities[word])
        torch.testing.assert_close(scores[word, :-5], torch.tensor([score for _, score in expected]), rtol=1e-5, atol=1e-5)
        assert [tuple(path) for path in labels[word, :-5].tolist()] == [path for path, _ in expected]
        assert scores[word, -5:].isinf().all(), "sequences that do not exist are marked"


@pytest.mark.parametrize("beams", [1, 2, 4])
def test_narrow_beams_keep_true_scores_in_descending_order(beams):
    probabilities = table()
    labels, scores = beam_search(step_of(probabilities), start(), WORDS, LENGTH, beams, CPU)
    assert (scores.diff(dim=1) <= 0).all()
    for word in range(WORDS):
        truth = dict(enumerate_sequences(probabilities[word]))
        for path, score in zip(labels[word].tolist(), scores[word].tolist(), strict=True):
            padded = tuple(path) + (PADDING,) * (LENGTH - len(path))
            assert score == pytest.approx(truth[padded], abs=1e-5)


def test_one_beam_is_greedy_search():
    probabilities = table(words=20)
    labels, scores = beam_search(step_of(probabilities), start(20), 20, LENGTH, 1, CPU)
    greedy, mean = greedy_search(step_of(probabilities), start(20), 20, LENGTH, CPU)
    assert torch.equal(labels[:, 0], greedy)
    characters = (greedy != PADDING).sum(1)
    torch.testing.assert_close(scores[:, 0], mean * characters)


def test_ended_beams_stay_while_others_go_on():
    probabilities = torch.full((1, LENGTH, CLASSES, CLASSES), float("-inf"))
    probabilities[0, 0, :, END], probabilities[0, 0, :, 3] = torch.tensor([0.6, 0.4]).log()
    probabilities[0, 1:, :, 4] = 0.0
    labels, scores = beam_search(step_of(probabilities), start(1), 1, LENGTH, 2, CPU)
    assert labels[0].tolist() == [[END, PADDING, PADDING], [3, 4, 4]]
    torch.testing.assert_close(scores[0].exp(), torch.tensor([0.6, 0.4]))


def test_search_stops_when_every_word_has_ended():
    calls = []

    def step(tokens, state, rows):
        calls.append(len(tokens))
        probabilities = torch.full((len(tokens), CLASSES), -9.0)
        probabilities[:, END if len(calls) % 2 == 0 else 4] = -0.5
        return probabilities, state

    labels, mean = greedy_search(step, (), 2, 50, CPU)
    assert labels.tolist() == [[4, END]] * 2
    torch.testing.assert_close(mean, torch.tensor([-0.5, -0.5]))
    labels, scores = beam_search(step, (), 2, 50, 1, CPU)
    assert labels.tolist() == [[[4, END]]] * 2
    assert scores.tolist() == [[-1.0]] * 2
    assert calls == [2] * 4


def test_no_word_and_no_step():
    step = step_of(table(0))
    labels, scores = greedy_search(step, start(0), 0, LENGTH, CPU)
    assert len(labels) == len(scores) == 0
    labels, scores = beam_search(step, start(0), 0, LENGTH, 2, CPU)
    assert labels.shape[:2] == scores.shape == (0, 2)
    labels, scores = greedy_search(step, start(2), 2, 0, CPU)
    assert labels.shape == (2, 0)
    assert scores.tolist() == [0, 0]


A, B = 3, 4


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ([A, A, B, B], [A, B, 0, 0]),
        ([A, BLANK, A, B], [A, A, B, 0]),
        ([BLANK, BLANK, BLANK, BLANK], [0, 0, 0, 0]),
        ([BLANK, A, BLANK, B], [A, B, 0, 0]),
        ([A, B, A, B], [A, B, A, B]),
        ([A], [A]),
        ([], []),
    ],
)
def test_ctc_merges_repeats_and_drops_blanks(path, expected):
    logits = torch.zeros(1, len(path), CLASSES)
    for column, token in enumerate(path):
        logits[0, column, token] = 3.0
    labels, _ = ctc_greedy(logits)
    assert labels.tolist() == [expected]


def test_ctc_score_is_the_mean_over_written_columns():
    probabilities = torch.tensor(
        [[[0.1, 0.0, 0.0, 0.9, 0.0, 0.0], [0.6, 0.0, 0.0, 0.4, 0.0, 0.0], [0.2, 0.0, 0.0, 0.0, 0.8, 0.0]]]
    )
    _, score = ctc_greedy(probabilities.log())
    torch.testing.assert_close(score, (torch.tensor([0.9]).log() + torch.tensor([0.8]).log()) / 2)
    blank = torch.tensor([[[0.7, 0.3, 0, 0, 0, 0], [0.5, 0.2, 0.3, 0, 0, 0]]])
    torch.testing.assert_close(ctc_greedy(blank.log())[1], torch.tensor([0.7 * 0.5]).log() / 2)


def every_text(logits):
    """Label sequence -> probability, summed over all paths of ``(T, V)`` logits that collapse to it."""
    probabilities, found = logits.softmax(-1), {}
    for path in product(range(logits.shape[1]), repeat=len(logits)):
        text = tuple(c for c, before in zip(path, (BLANK, *path), strict=False) if c != BLANK and c != before)
        share = float(torch.stack([probabilities[t, c] for t, c in enumerate(path)]).prod())
        found[text] = found.get(text, 0.0) + share
    return found


@pytest.fixture
def columns():
    """CTC logits of two words, END and START being as good as never written."""
    logits = 2 * torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(3))
    logits[..., [END, START]] = -60
    return logits


def test_ctc_probability_sums_every_path(columns):
    for row, logits in enumerate(columns):
        expected = every_text(logits)
        texts = [(), (3,), (3, 3), (4, 3, 5), (5, 4, 5, 3)]
        labels = torch.tensor([[*text, END, *[PADDING] * (5 - len(text))] for text in texts])
        found = ctc_log_probability(columns[torch.full((len(texts),), row)], labels)
        torch.testing.assert_close(found.exp(), torch.tensor([expected[text] for text in texts]), atol=1e-5, rtol=1e-4)


def test_a_text_that_the_columns_cannot_write_has_no_probability(columns):
    labels = torch.tensor([[3, 3, 3, 3, END]])
    assert ctc_log_probability(columns[:1], labels).tolist() == [float("-inf")]
    assert ctc_log_probability(columns[:0], labels[:0]).shape == (0,)


def test_prefix_beams_are_the_likeliest_texts(columns):
    labels, scores = ctc_beam_search(columns, 300)
    for row, logits in enumerate(columns):
        expected = sorted(every_text(logits).items(), key=lambda pair: -pair[1])[:20]
        found = [tuple(path[: path.index(END)]) for path in labels[row].tolist()]
        assert found[:20] == [text for text, _ in expected]
        torch.testing.assert_close(scores[row, :20].exp(), torch.tensor([share for _, share in expected]), atol=1e-5, rtol=1e-3)


def test_there_are_no_more_beams_than_texts():
    logits = torch.tensor([[[0.0, -99, -99, 1.0]]])  # one column: nothing, or one character
    labels, scores = ctc_beam_search(logits, 4)
    assert labels[0, :2].tolist() == [[3, END], [END, PADDING]]
    assert scores[0, 2:].isinf().all()


def test_columns_of_blanks_change_nothing(columns):
    longer = torch.cat([columns, torch.full((2, 3, 6), -1e4)], dim=1)
    longer[:, 5:, BLANK] = 0
    labels = torch.tensor([[3, 4, END], [5, END, PADDING]])
    torch.testing.assert_close(ctc_log_probability(longer, labels), ctc_log_probability(columns, labels))
    (few, some), (more, others) = ctc_beam_search(columns, 3), ctc_beam_search(longer, 3)
    assert torch.equal(few, more)
    torch.testing.assert_close(some, others)
