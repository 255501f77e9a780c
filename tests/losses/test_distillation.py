import math

import pytest
import torch

from dld_spotter.core.batches import DetectionMaps, View
from dld_spotter.core.charset import END, PADDING, SPECIAL
from dld_spotter.core.errors import ConfigError
from dld_spotter.losses.distillation import (
    Context,
    Distillation,
    RoIFeatures,
    SequenceBeams,
    TextMap,
    TokenKL,
    map_in_view,
    sequence_loss,
    token_kl,
)
from dld_spotter.models.decoding import path_log_probability
from tests.small import make_spotter

TERMS = {"roi": RoIFeatures(), "context": Context(), "sequence": SequenceBeams(), "token": TokenKL(ctc=1.0)}


@pytest.fixture
def pair(batch):
    """Recognition of the same words by two spotters, and the spotters."""
    student, teacher = make_spotter(1).eval(), make_spotter(2).eval()
    read = [
        spotter(batch.views[1.0], batch.boundaries, batch.image_index, batch.labels).recognition
        for spotter in (student, teacher)
    ]
    return *read, batch.labels, (student, teacher)


def kl_by_hand(student, teacher, temperature):
    p = [math.exp(x / temperature) for x in teacher]
    q = [math.exp(x / temperature) for x in student]
    p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_token_kl_by_hand(temperature):
    student, teacher = torch.tensor([[[1.0, 2.0, -1.0], [0.0, 0.0, 3.0]]]), torch.tensor([[[0.5, 1.0, 1.0], [9.0, 0.0, 0.0]]])
    steps = [kl_by_hand(s, t, temperature) for s, t in zip(student[0].tolist(), teacher[0].tolist(), strict=True)]
    assert float(token_kl(student, teacher, temperature)) == pytest.approx(sum(steps) / 2, rel=1e-5)
    mask = torch.tensor([[True, False]])
    assert float(token_kl(student, teacher, temperature, mask)) == pytest.approx(steps[0], rel=1e-5)
    assert float(token_kl(student, teacher, temperature, ~mask & False)) == 0


def test_half_precision_is_compared_in_single():
    logits = torch.randn(4, 6, 30).bfloat16()
    found = token_kl(logits, logits.flip(0), 2.0)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, token_kl(logits.double(), logits.double().flip(0), 2.0).float())


def test_paths_by_hand():
    logits = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]]).log()
    paths = torch.tensor([[3, END], [END, PADDING], [2, 3]])
    expected = torch.tensor([0.4 * 0.3, 0.2, 0.3 * 0.1]).log()
    torch.testing.assert_close(path_log_probability(logits.expand(3, 2, 4), paths), expected)


def test_sequence_loss_does_not_underflow():
    assert float(sequence_loss(torch.tensor([[-2000.0, -2000.0]]))) == pytest.approx(2000 - math.log(2))
    assert float(sequence_loss(torch.tensor([[-3.0, float("-inf")]]))) == pytest.approx(3.0)


def test_equal_networks_have_nothing_to_learn_but_the_sequences(pair):
    student, _, labels, (spotter, _) = pair
    found = Distillation(TERMS)(student, student, labels, (spotter, spotter))
    assert set(found) == set(TERMS)
    for name in ("roi", "context", "token"):
        assert float(found[name]) == pytest.approx(0, abs=1e-6)
    assert float(found["sequence"]) > 0


@pytest.mark.parametrize("name", TERMS)
def test_terms_reach_the_student_and_not_the_teacher(pair, name):
    student, teacher, labels, spotters = pair
    value = Distillation({name: TERMS[name]})(student, teacher, labels, spotters)[name]
    assert value.ndim == 0
    assert float(value) > 0
    value.backward()
    assert spotters[0].recognizer.encoder.pixels[0][0].weight.grad.abs().sum() > 0
    if name in ("sequence", "token"):
        assert all(parameter.grad is not None for parameter in spotters[0].recognizer.attention.parameters())


def test_features_are_compared_in_place(pair):
    student, teacher, labels, spotters = pair
    found = Distillation({"roi": RoIFeatures(), "context": Context()})(student, teacher, labels, spotters)
    torch.testing.assert_close(found["roi"], (student.roi - teacher.roi).square().mean())
    torch.testing.assert_close(found["context"], (student.context - teacher.context).square().mean())


def test_sequence_term_by_forcing_each_path(pair):
    student, teacher, labels, spotters = pair
    paths, scores = spotters[1].beams(teacher.context, 3)
    total, characters = 0.0, 0
    for word in range(len(labels)):
        probabilities = []
        for path, score in zip(paths[word], scores[word], strict=True):
            logits = spotters[0].recognizer.attention(student.context[word : word + 1], path[None])
            probabilities.append(float(path_log_probability(logits, path[None])))
            own = spotters[1].recognizer.attention(teacher.context[word : word + 1], path[None])
            assert float(path_log_probability(own, path[None])) == pytest.approx(float(score), abs=1e-4), "one score, two ways"
        total -= math.log(sum(math.exp(p) for p in probabilities))
        characters += int((paths[word, 0] != PADDING).sum())
    plain = SequenceBeams(3, per_character=False)(student, teacher, labels, spotters)["sequence"]
    assert float(plain) == pytest.approx(total / len(labels), rel=1e-4)
    per_character = SequenceBeams(3)(student, teacher, labels, spotters)["sequence"]
    assert float(per_character) == pytest.approx(total / characters, rel=1e-4)


def test_more_beams_than_sequences_stay_finite(pair):
    student, teacher, labels, (spotter, other) = pair
    spotter.recognizer.max_length = other.recognizer.max_length = 0  # one character at most: as many sequences as classes
    beams = len(spotter.charset) + 3
    loss = SequenceBeams(beams)(student, teacher, labels, (spotter, other))["sequence"]
    loss.backward()
    first = student.logits[:, 0].softmax(-1)
    every = first[:, END] + first[:, SPECIAL:].sum(1)
    torch.testing.assert_close(loss, -every.log().mean())
    assert all(p.grad.isfinite().all() for p in spotter.recognizer.encoder.parameters() if p.grad is not None)


def test_temperature_acts_and_is_balanced(pair):
    student, teacher, labels, spotters = pair
    cold, warm = (TokenKL(t)(student, teacher, labels, spotters)["token"] for t in (1.0, 4.0))
    assert float(cold) != pytest.approx(float(warm), rel=1e-3)
    mask = labels != PADDING
    torch.testing.assert_close(warm, 16 * token_kl(student.logits, teacher.logits, 4.0, mask))
    both = TokenKL(4.0, ctc=0.5)(student, teacher, labels, spotters)["token"]
    torch.testing.assert_close(both - warm, 8 * token_kl(student.ctc_logits, teacher.ctc_logits, 4.0))


def test_padding_does_not_count(pair):
    student, teacher, labels, spotters = pair
    before = TokenKL()(student, teacher, labels, spotters)["token"].item()
    teacher.logits[labels == PADDING] += torch.randn(len(spotters[0].charset))
    assert TokenKL()(student, teacher, labels, spotters)["token"].item() == before


def test_no_word_gives_no_term(pair):
    student, teacher, labels, spotters = pair
    none = torch.zeros(0, dtype=torch.int64)
    assert Distillation(TERMS)(student.select(none), teacher.select(none), labels[none], spotters) == {}
    assert Distillation({})(student, teacher, labels, spotters) == {}
    assert Distillation({"roi": None})(student, teacher, labels, spotters) == {}


def test_bad_settings_are_refused():
    with pytest.raises(ConfigError, match=r"temperature .* 0"):
        TokenKL(0)
    with pytest.raises(ConfigError, match="beams"):
        SequenceBeams(0)


def blank(height, width, scale):
    """A view of one image of 64 x 64 pixels in the reference, padded to ``height`` x ``width``."""
    size = torch.tensor([[round(64 * scale)] * 2])
    return View(torch.zeros((1, 3, height, width), dtype=torch.uint8), size, size / 64)


def test_text_map_by_hand():
    """Of 2 x 2 cells the teacher takes one for text; what the student says in the padding does not count."""
    reference, view = blank(64, 64, 1.0), blank(32, 32, 1 / 16)  # 32 x 32 cells; 2 x 2, and padding
    certain = torch.full((1, 32, 32), -40.0)
    certain[:, :16, :16] = 40.0
    target, known = map_in_view(certain.sigmoid(), reference, view)
    assert known.sum() == 4
    assert float(target.sum()) == pytest.approx(1, abs=0.2), "one cell, blurred by the filter that halves the resolution"
    student = torch.full((1, 16, 16), 7.0)
    student[0, :2, :2] = torch.tensor([[0.5, -0.3], [-1.0, 2.0]])
    found = TextMap()(DetectionMaps(student, student), DetectionMaps(certain, certain), view, reference)
    total = sum(
        kl_by_hand([s, 0.0], [math.log(t / (1 - t)), 0.0], 1.0)
        for s, t in zip(student[0, :2, :2].flatten().tolist(), target[0, :2, :2].flatten().tolist(), strict=True)
    )
    assert float(found) == pytest.approx(total / 1000, rel=1e-4)


def test_text_map_of_the_same_view_is_the_teachers_own():
    view = blank(64, 64, 1.0)
    maps = DetectionMaps(*torch.randn(2, 1, 32, 32))
    target, known = map_in_view(maps.text.sigmoid(), view, view)
    torch.testing.assert_close(target, maps.text.sigmoid())
    assert known.all()
    assert float(TextMap()(maps, maps, view, view)) == pytest.approx(0, abs=1e-6)
    student = maps.text.clone().requires_grad_()
    TextMap()(DetectionMaps(student + 1, student), maps, view, view).sum().backward()
    assert (student.grad > 0).all(), "too much text everywhere"


def test_each_image_is_compared_with_its_own_map():
    """Two images, neither of them square and of different sizes: where the teacher sees text, the target does."""
    sizes = torch.tensor([[64, 96], [32, 128]])
    reference = View(torch.zeros((2, 3, 64, 128), dtype=torch.uint8), sizes, torch.ones(2, 2))
    view = View(torch.zeros((2, 3, 32, 64), dtype=torch.uint8), sizes // 2, torch.full((2, 2), 0.5))
    probability = torch.zeros((2, 32, 64))
    probability[0, 16:32, :8] = 1.0  # at the lower left of the first, at the upper right of the second
    probability[1, :4, 48:64] = 1.0
    target, known = map_in_view(probability, reference, view)
    expected = torch.zeros((2, 16, 32))
    expected[0, 8:16, :4] = 1.0
    expected[1, :2, 24:32] = 1.0
    assert ((target > 0.5) == (expected > 0.5)).all()
    torch.testing.assert_close(target.sum((1, 2)), expected.sum((1, 2)), atol=2.0, rtol=0)
    assert known.sum((1, 2)).tolist() == [16 * 24, 8 * 32]


def test_maps_are_compared_apart_from_words(pair):
    student, teacher, labels, spotters = pair
    distillation = Distillation({"text_map": TextMap(), "roi": RoIFeatures()})
    assert len(distillation) == 2
    assert set(distillation(student, teacher, labels, spotters)) == {"roi"}
    view, maps = blank(64, 64, 1.0), DetectionMaps(*torch.randn(2, 1, 32, 32))
    assert set(distillation.compare_maps(maps, maps, view, view)) == {"text_map"}
