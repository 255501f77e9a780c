from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import shapely
import torch
from torch import nn

from dld_spotter.core.batches import DetectionMaps
from dld_spotter.core.charset import END, START
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.geometry import polygons_to_boundaries
from dld_spotter.data.collate import Collate
from dld_spotter.losses.detection import DetectionLoss
from dld_spotter.losses.distillation import Context, Distillation, RoIFeatures, SequenceBeams, TokenKL
from dld_spotter.losses.recognition import RecognitionLoss
from dld_spotter.models.backbone import Backbone
from dld_spotter.models.proposals import Proposals
from dld_spotter.training.modules import mean_or_zero
from tests.data.samples import box, sample, turned_box
from tests.small import BACKBONE, CHARSET, MAX_LENGTH, SCALES, make_batch, make_spotter, needs_half_precision

READ = torch.zeros(0, 2, 8, 2), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 5, dtype=torch.int64)


class KnownMaps(nn.Module):
    """A detection head that has learnt one view by heart."""

    def __init__(self, text):
        super().__init__()
        self.text = text

    def forward(self, finest):
        logits = 20 * (self.text - 0.5)
        return DetectionMaps(logits, torch.zeros_like(logits))


def reader(view, **options):
    """A spotter that finds every word of ``view`` and writes ``a`` as long as it may."""
    spotter = make_spotter(**options).eval()
    spotter.head = KnownMaps(view.targets.text)
    with torch.no_grad():
        for layer in (spotter.recognizer.attention.output[-1], spotter.recognizer.ctc):
            layer.bias[3] = 30
    return spotter


def forward(spotter, batch, scale=1.0):
    return spotter(batch.views[scale], batch.boundaries, batch.image_index, batch.labels)


def objective(spotter, batch, scale, teacher):
    output = forward(spotter, batch, scale)
    known = forward(teacher, batch).recognition
    terms = Distillation({"r": RoIFeatures(), "c": Context(), "s": SequenceBeams(), "t": TokenKL()})
    loss = DetectionLoss()(output.detection, batch.views[scale].targets).mean()
    loss = loss + mean_or_zero(RecognitionLoss()(output.recognition, batch.labels))
    return loss + sum(terms(output.recognition, known, batch.labels, (spotter, teacher)).values())


@pytest.mark.parametrize("scale", SCALES)
def test_forward(spotter, batch, scale):
    output = forward(spotter, batch, scale)
    height, width = batch.views[scale].images.shape[2:]
    assert output.detection.text.shape == output.detection.threshold.shape == (3, height // 2, width // 2)
    read = output.recognition
    assert read.roi.shape == (5, 16, 8, 32)
    assert read.context.shape == (5, 32, 24)
    assert read.logits.shape == (5, MAX_LENGTH + 1, len(CHARSET))
    assert read.ctc_logits.shape == (5, 32, len(CHARSET))
    for tensor in (output.detection.text, output.detection.threshold, read.roi, read.context, read.logits, read.ctc_logits):
        assert tensor.isfinite().all()


@pytest.mark.parametrize("autocast", [False, pytest.param(True, marks=needs_half_precision)])
def test_every_parameter_learns(autocast):
    """With words of three sizes, one for every level of the pyramid."""
    batch = make_batch(
        [sample(256, 256, [box(9, 9, 80, 20), box(9, 40, 200, 70), box(9, 120, 220, 120)], ["cat", "dog", "face"])]
    )
    spotter, teacher = make_spotter(1).train(), make_spotter(2).eval().requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = objective(spotter, batch, 1.0, teacher)
    assert loss.dtype == torch.float32
    loss.backward()
    for name, parameter in spotter.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
    assert all(parameter.grad is None for parameter in teacher.parameters())


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("words", [5, 0])
def test_parameters_without_work_have_a_gradient_all_the_same(batch, scale, words):
    """Small words only, or none: what data-parallel training asks for."""
    spotter, teacher = make_spotter(1).train(), make_spotter(2).eval()
    batch = replace(
        batch, boundaries=batch.boundaries[:words], image_index=batch.image_index[:words], labels=batch.labels[:words]
    )
    objective(spotter, batch, scale, teacher).backward()
    for name, parameter in spotter.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_words_are_read_where_they_are(spotter, batch):
    """Every word alone, and its image alone, gives the same; so do the words in another order."""
    together = forward(spotter, batch).recognition
    view = batch.views[1.0]
    for word, image in enumerate(batch.image_index.tolist()):
        alone = spotter(
            view.select(torch.tensor([image])), batch.boundaries[word, None], torch.tensor([0]), batch.labels[word, None]
        ).recognition
        torch.testing.assert_close(alone.logits[0], together.logits[word], atol=1e-4, rtol=1e-4)
    order = torch.tensor([3, 0, 4, 1, 2])
    other = spotter(view, batch.boundaries[order], batch.image_index[order], batch.labels[order]).recognition
    torch.testing.assert_close(other.roi, together.roi[order], atol=1e-4, rtol=1e-4)


def test_factors_bring_words_into_the_view(spotter):
    """A view made at half size, and the half-sized image itself, show the recogniser the same."""
    page = sample(128, 192, [box(20, 30, 80, 32), turned_box(110, 90, 90, 30, 15)], ["cat", "dog"])
    batch = make_batch([page])
    view = batch.views[0.5]
    half = spotter(view, batch.boundaries, batch.image_index, batch.labels).recognition
    plain = type(view)(view.images, view.sizes, torch.ones(1, 2), None)
    other = spotter(plain, batch.boundaries / 2, batch.image_index, batch.labels).recognition
    torch.testing.assert_close(half.logits, other.logits)


def test_words_found_from_afar_are_read_close_up(batch):
    spotter = make_spotter(full_resolution_crops=True).eval()
    far, full = (spotter.detect_maps_and_cut(batch.view(scale), batch.boundaries, batch.image_index)[0] for scale in (0.5, 1.0))
    assert torch.allclose(far.pixels, full.pixels, atol=1e-5)
    assert not torch.allclose(far.features, full.features, atol=1e-2)


def test_without_close_up_a_view_is_all_that_counts(batch):
    spotter = make_spotter().eval()
    offered, alone = (
        spotter.detect_maps_and_cut(view, batch.boundaries, batch.image_index)[0].pixels
        for view in (batch.view(0.5), batch.views[0.5])
    )
    assert torch.equal(offered, alone)


def test_close_up_moves_no_word(batch):
    view = batch.view(0.5)
    spotters = (reader(view, full_resolution_crops=full_resolution_crops) for full_resolution_crops in (False, True))
    far, full = (spotter.spot(view) for spotter in spotters)
    assert [len(words) for words in far] == [len(words) for words in full]
    for before, after in zip(chain(*far), chain(*full), strict=True):
        assert np.allclose(before.polygon, after.polygon)


def test_forcing_repeats_the_forward_pass(spotter, batch):
    read = forward(spotter, batch).recognition
    torch.testing.assert_close(spotter.recognizer.attention(read.context, batch.labels), read.logits)


def test_stepping_repeats_forcing(spotter, batch):
    read = forward(spotter, batch).recognition
    attention = spotter.recognizer.attention
    tokens, state = torch.full((5,), START), attention.start(5, torch.device("cpu"))
    for position in range(batch.labels.shape[1]):
        found, state = attention.step(attention.memorize(read.context), tokens, state)
        expected = read.logits[:, position].log_softmax(-1)
        torch.testing.assert_close(found[:, [END, *range(3, len(CHARSET))]], expected[:, [END, *range(3, len(CHARSET))]])
        assert found[:, [0, START]].isinf().all(), "never written"
        tokens = batch.labels[:, position]


def test_weighing_repeats_reading(spotter, batch):
    with torch.no_grad():
        spotter.recognizer.attention.output[-1].bias[END] = 0.5  # some words end early
        context = forward(spotter, batch).recognition.context
        labels, scores = spotter.recognizer.read(context)
        texts = [CHARSET.decode(row) for row in labels.tolist()]
        kept = [row for row, text in enumerate(texts) if len(text) <= MAX_LENGTH]
        tried = CHARSET.encode([texts[row] for row in kept], MAX_LENGTH + 1)
        found = spotter.weigh(context, torch.tensor(kept), tried)
    assert kept
    steps = torch.tensor([len(texts[row]) + 1 for row in kept])
    torch.testing.assert_close(found, scores[kept].log() * steps)


@pytest.mark.parametrize(("scores", "texts"), [((0.5, 0.9, 0.9), ["t", "t"]), ((0.95, 0.9, 0.9), ["goat"])])
def test_neighbours_that_run_together_are_read_both_ways(monkeypatch, scores, texts):
    view = make_batch([sample(96, 160)]).views[1.0]
    spotter = make_spotter(min_score=0.4)
    places = np.array(
        [polygons_to_boundaries([box(*place)])[0] for place in ((10, 40, 120, 24), (10, 40, 55, 24), (75, 40, 55, 24))]
    )
    monkeypatch.setattr(spotter, "postprocess", lambda *_: Proposals(places, np.full(3, 0.8, np.float32), np.array([-1, 0, 0])))

    def read(context):
        assert len(context) == 3
        return CHARSET.encode(["goat", "t", "t"], MAX_LENGTH + 1), torch.tensor(scores)

    monkeypatch.setattr(spotter.recognizer, "read", read)
    (words,) = spotter.eval().spot(view)
    assert [word.text for word in words] == texts
    assert [word.score for word in words] == pytest.approx([0.8 * max(scores)] * len(texts))
    regions = spotter.postprocess().promising(0.0, 2)
    assert regions.whole.tolist() == [-1], "under a limit a word is not replaced by one of its parts"


@pytest.mark.parametrize("least", [0.0, 0.82])
@pytest.mark.parametrize(("word", "text", "power"), [("bag", "bag", 0.75), ("fog", "bog", 1), ("bog", "bog", 0.75)])
def test_what_is_no_word_is_weighed_against_the_vocabulary(tmp_path, monkeypatch, word, text, power, least):
    (tmp_path / "words.txt").write_text(f"{word}\n")
    view = make_batch([sample(128, 160, [box(20, 20, 100, 30), box(20, 70, 100, 30)])]).views[1.0]
    spotter = reader(view, vocabulary=str(tmp_path / "words.txt"))
    spotter.min_score = least

    def read(context):
        return CHARSET.encode(["bog"] * len(context), MAX_LENGTH + 1), torch.full((len(context),), 0.8)

    def weigh(context, words, labels):
        assert context.shape == (2, 32, 24)
        surely = {"bog": 0.0, "bag": -1.0, "fog": -20.0}
        return torch.tensor([surely[CHARSET.decode(row)] for row in labels.tolist()])

    monkeypatch.setattr(spotter.recognizer, "read", read)
    monkeypatch.setattr(spotter, "weigh", weigh)
    (words,) = spotter.spot(view)
    expected = [(text, pytest.approx(0.8**power, abs=0.01))] * 2 if 0.8**power > least else []
    assert [(found.text, found.score) for found in words] == expected


@pytest.mark.parametrize(("vocabulary", "score"), [("english", 0.7**0.75), ("none", None)])
def test_regions_that_belief_may_lift_are_read(monkeypatch, vocabulary, score):
    view = make_batch([sample(96, 160)]).views[1.0]
    spotter = make_spotter(min_score=0.75, vocabulary=vocabulary)
    boundaries = np.array([polygons_to_boundaries([box(10, 40, 120, 24)])[0]])
    monkeypatch.setattr(spotter, "postprocess", lambda *_: Proposals(boundaries, np.full(1, 0.7, np.float32), np.array([-1])))
    monkeypatch.setattr(
        spotter.recognizer, "read", lambda context: (CHARSET.encode(["bag"], MAX_LENGTH + 1), torch.ones(len(context)))
    )
    (detections,) = spotter.eval().detect(view)
    assert len(detections.proposals) == (0 if score is None else 1)
    (words,) = spotter.recognize([detections], [detections.all])
    assert [word.score for word in words] == ([] if score is None else [pytest.approx(score)])


@pytest.mark.parametrize("length", [1, 2, 40])
def test_labels_of_any_length(spotter, batch, length):
    labels = CHARSET.encode(["abc" * 20] * 5, length)
    read = spotter(batch.views[1.0], batch.boundaries, batch.image_index, labels).recognition
    assert read.logits.shape[1] == length
    assert RecognitionLoss()(read, labels).isfinite().all(), "also where CTC has too few columns"


@pytest.mark.parametrize("training", [True, False])
def test_no_word_to_read(batch, training):
    spotter = make_spotter().train(training)
    output = spotter(batch.views[1.0], *READ)
    assert output.recognition.logits.shape == (0, 5, len(CHARSET))
    loss = DetectionLoss()(output.detection, batch.views[1.0].targets).mean()
    (loss + RecognitionLoss()(output.recognition, READ[2]).sum()).backward()
    assert loss.isfinite()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (1, 200), (31, 17)])
def test_an_image_of_a_pixel(size, training):
    batch = make_batch([sample(*size)])
    spotter = make_spotter().train(training)
    for view in batch.views.values():
        loss = DetectionLoss()(spotter(view, *READ).detection, view.targets)
        assert loss.isfinite().all()
    assert spotter.eval().spot(batch.views[1.0])[0] is not None


@pytest.mark.parametrize("decoder", ["attention", "ctc"])
@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_spot_returns_reference_pixels(decoder, scale):
    pages = [
        sample(256, 320, [box(30, 40, 120, 48), turned_box(200, 180, 160, 60, 20)], name="two"),
        sample(256, 320, name="none"),
        sample(200, 330, [turned_box(160, 100, 200, 60, -10)], name="one"),
    ]
    view = make_batch(pages).views[scale]
    found = reader(view, decoder=decoder).spot(view)
    assert [len(words) for words in found] == [2, 0, 1]
    for page, words in zip(pages, found, strict=True):
        for polygon in page.instances.polygons:
            truth = shapely.Polygon(polygon)
            overlaps = [
                truth.intersection(shapely.Polygon(w.polygon)).area / truth.union(shapely.Polygon(w.polygon)).area
                for w in words
            ]
            best = words[int(np.argmax(overlaps))]
            assert max(overlaps) > 0.8
            assert best.text == ("a" * (MAX_LENGTH + 1) if decoder == "attention" else "a")
            assert 0.9 < best.score <= 1
            np.testing.assert_allclose(best.polygon[0], polygon[0], atol=8, err_msg="starts at the text's top left")


def test_spot_reads_each_word_as_alone():
    """Words of several images and levels, batched: the same text and score as one image at a time."""
    pages = [
        sample(256, 320, [box(30, 20, 120, 40), box(40, 90, 200, 130)]),
        sample(256, 320),
        sample(256, 320, [turned_box(160, 100, 200, 50, -10)]),
    ]
    view = make_batch(pages).views[1.0]
    spotter = reader(view)
    with torch.no_grad():
        spotter.recognizer.attention.output[-1].bias[3] = 0
        spotter.recognizer.attention.output[-1].bias[END] = -9
    together = spotter.spot(view)
    assert sum(map(len, together)) == 3
    for i, words in enumerate(together):
        spotter.head.text = view.targets.text[i : i + 1]
        (alone,) = spotter.spot(view.select(torch.tensor([i])))
        assert [word.text for word in alone] == [word.text for word in words]
        np.testing.assert_allclose([word.score for word in alone], [word.score for word in words], rtol=1e-3)


def test_reading_is_deterministic():
    view = make_batch([sample(128, 160, [box(20, 20, 100, 30)]), sample(100, 160, [box(10, 40, 90, 40)])]).views[1.0]
    first, second = (reader(view).spot(view) for _ in range(2))
    assert sum(map(len, first)) == 2
    for one, two in zip(first, second, strict=True):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a.polygon, b.polygon)
            assert (a.text, a.score) == (b.text, b.score)


@needs_half_precision
@pytest.mark.parametrize("decoder", ["attention", "ctc"])
def test_spot_in_half_precision(decoder):
    view = make_batch([sample(128, 160, [box(20, 20, 100, 40)])]).views[1.0]
    spotter = reader(view, decoder=decoder)
    (expected,) = spotter.spot(view)[0]
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = spotter.spot(view)[0]
    assert found.text == expected.text
    np.testing.assert_allclose(found.polygon, expected.polygon)
    assert found.score == pytest.approx(expected.score, abs=0.02)


def test_words_of_low_score_are_left_out():
    view = make_batch([sample(128, 160, [box(20, 20, 100, 30)])]).views[1.0]
    assert len(reader(view, min_score=0.9).spot(view)[0]) == 1
    assert len(reader(view, min_score=1.1).spot(view)[0]) == 0


def test_what_would_be_read_in_vain_is_no_proposal():
    view = make_batch([sample(128, 160, [box(20, 20, 100, 30)])]).views[1.0]
    for least, proposals in ((0.5, 1), (1.1, 0)):
        spotter = reader(view, min_score=least)
        with torch.no_grad():  # any character is as likely as any other
            spotter.recognizer.attention.output[-1].weight.zero_()
            spotter.recognizer.attention.output[-1].bias.zero_()
        (detections,) = spotter.detect(view)
        assert (len(detections.proposals), detections.size) == (proposals, (128, 160))
        assert spotter.recognize([detections], [detections.all]) == [[]]


def test_empty_text_is_no_word():
    view = make_batch([sample(128, 160, [box(20, 20, 100, 30)])]).views[1.0]
    spotter = reader(view)
    with torch.no_grad():
        spotter.recognizer.attention.output[-1].bias[END] = 99
    assert spotter.spot(view) == [[]]


def test_collated_words_longer_than_the_decoder_are_read_or_left_out(spotter):
    page = sample(64, 160, [box(4, 4, 150, 20), box(4, 30, 60, 20)], ["abcdefabcdef", "cab"])
    batch = Collate(CHARSET, max_length=MAX_LENGTH)([page])
    assert RecognitionLoss()(forward(spotter, batch).recognition, batch.labels).isfinite().all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: make_spotter(decoder="lexicon"), "attention or ctc.*lexicon"),
        (lambda: make_spotter(widths=[8, 8]), "widths"),
        (lambda: make_spotter(crop_size=(6, 32)), "8 rows"),
        (lambda: Backbone("resnot"), "backbone.name=resnot"),
        (lambda: Backbone("bert"), "backbone.name=bert"),
        (lambda: Backbone("resnet", {"depths": [1]}, pretrained="somewhere"), "pretrained=somewhere"),
        (lambda: Backbone("resnet", {"layer_type": "round"}), "layer_type=round"),
        (lambda: Backbone("resnet", {"hidden_size": [8]}), "unknown hidden_size"),
        (lambda: Backbone("resnet", BACKBONE | {"downsample_in_first_stage": True}), r"strides \(8, 16, 32, 64\)"),
    ],
)
def test_bad_settings_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
