"""PP-OCRv6 small as a spotter: word crops, checkpoints in memory, what it reads with the weights of the wheel."""

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from dld_spotter.budget.cost import FlopCost
from dld_spotter.config.assembly import build_teacher
from dld_spotter.config.entry import ROOT
from dld_spotter.core.batches import WordCrops
from dld_spotter.core.charset import PRINTABLE_ASCII, Charset
from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.core.geometry import polygons_to_boundaries
from dld_spotter.data.collate import Collate
from dld_spotter.inference import ppocr
from dld_spotter.inference.checkpoint import load_checkpoint, save_checkpoint
from dld_spotter.inference.loading import load
from dld_spotter.losses.distillation import Context, Distillation, RoIFeatures, SequenceBeams, TextMap, TokenKL
from dld_spotter.models.detector import TextMapDecoder
from dld_spotter.models.ppocr import weights
from dld_spotter.models.ppocr.reading import PPOCRWordRecognizer, _divided
from dld_spotter.models.ppocr.spotter import PPOCRSpotter
from dld_spotter.models.ppocr.widths import WIDTHS, crop_widths
from dld_spotter.selection.drs import DRSObjective
from dld_spotter.selection.gumbel import GumbelSelector
from dld_spotter.selection.objective import Evidence
from tests.data.samples import box, sample, turned_box
from tests.small import CHARSET, MAX_LENGTH, SCALES, THUMBNAIL, make_spotter

MAP = {"stride": 1, "shrink": 0.5, "points": 2, "curved_below": 0.0, "turned_above": 1.5}


def small(seed: int = 0, **options) -> PPOCRSpotter:
    """The family with few channels."""
    torch.manual_seed(seed)
    recognizer = PPOCRWordRecognizer(CHARSET, (16, 16, 24), 16)
    return PPOCRSpotter(CHARSET, recognizer, TextMapDecoder(**MAP), (16, 16, 16, 24), 16, **options)


@pytest.fixture
def words():
    """Two images in three scales."""
    one = sample(96, 128, [box(8, 8, 40, 14), turned_box(70, 50, 90, 20, 10)], ["cat", "face"], name="one")
    two = sample(64, 96, [box(8, 10, 30, 30)], ["a"], name="two")
    return Collate(CHARSET, SCALES, thumbnail=THUMBNAIL, max_length=MAX_LENGTH, shrink=0.4, map_stride=1)([one, two])


def recognition(spotter, batch):
    return spotter(batch.view(1.0), batch.boundaries, batch.image_index, batch.labels).recognition


def boundaries(*boxes) -> torch.Tensor:
    return torch.from_numpy(polygons_to_boundaries(boxes))


@pytest.mark.parametrize(
    ("width", "columns"),
    [(1, 32), (30, 32), (31, 32), (40, 40), (48, 48), (50, 64), (96, 96), (100, 128), (3000, 640)],
)
def test_crops_are_as_wide_as_the_word(width, columns):
    words = boundaries(box(0, 0, width, 48), box(5, 5, width / 2, 24), turned_box(90, 90, width, 48, 33))
    assert crop_widths(words.numpy()).tolist() == [columns] * 3


def test_widths_grow_by_less_than_a_half():
    assert all(narrow < wide < 1.5 * narrow for narrow, wide in pairwise(WIDTHS))
    assert all(width % 8 == 0 for width in WIDTHS)


def test_a_margin_is_part_of_the_crop_and_of_its_width():
    image = torch.rand(1, 3, 120, 200, generator=torch.Generator().manual_seed(0)) * 255
    first = torch.zeros(1, dtype=torch.int64)
    with_margin = PPOCRWordRecognizer(CHARSET, (16, 16, 24), 16, margin=0.25)
    without = PPOCRWordRecognizer(CHARSET, (16, 16, 24), 16)
    crops = with_margin.crop(image, boundaries(box(40, 40, 60, 24)), first)
    larger = without.crop(image, boundaries(box(34, 34, 72, 36)), first)  # 6 pixels more at every side
    assert crops.widths.tolist() == larger.widths.tolist() == [96]
    torch.testing.assert_close(crops.pixels, larger.pixels, atol=0.05, rtol=0)
    with pytest.raises(ConfigError, match=r"recognizer\.margin must be from 0 to 1"):
        PPOCRWordRecognizer(CHARSET, (16, 16, 24), 16, margin=-0.1)


def test_crops_may_be_narrower_than_their_words_and_show_all_of_them():
    image = torch.rand(1, 3, 120, 400, generator=torch.Generator().manual_seed(0)) * 255
    first, word = torch.zeros(1, dtype=torch.int64), boundaries(box(40, 40, 192, 48))
    narrow = PPOCRWordRecognizer(CHARSET, (16, 16, 24), 16, width_ratio=0.5).crop(image, word, first)
    whole = PPOCRWordRecognizer(CHARSET, (16, 16, 24), 16).crop(image, word, first)
    assert (narrow.widths.tolist(), whole.widths.tolist()) == ([96], [192])
    middles = whole.pixels.unflatten(3, (96, 2)).mean(4)  # a column of the narrow crop lies between two of the whole one
    torch.testing.assert_close(narrow.pixels, middles, atol=0.5, rtol=0)
    for ratio in (0, 1.1):
        with pytest.raises(ConfigError, match=rf"recognizer\.width_ratio must be above 0 and at most 1, found {ratio}"):
            PPOCRWordRecognizer(CHARSET, (16, 16, 24), 16, width_ratio=ratio)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_words_read_side_by_side_are_read_as_alone(threads):
    torch.manual_seed(0)
    recognizer = PPOCRWordRecognizer(CHARSET, (16, 16, 24), 16).eval()
    widths = torch.tensor([96, 32, 96, 160, 32, 96, 96])
    pixels = torch.randint(256, (7, 3, 48, 160)).float() * (torch.arange(160) < widths[:, None, None, None])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            together = recognizer.encode(WordCrops(pixels, widths=widths))
    finally:
        torch.set_num_threads(before)
    for row, crop, width in zip(together, pixels, widths.tolist(), strict=True):
        alone = recognizer.network.encode(crop[None, :, :, :width])[0]
        torch.testing.assert_close(row[: width // 8], alone, atol=1e-5, rtol=1e-4)
        assert not row[width // 8 :].any()


def test_groups_are_divided_into_pieces_of_at_most_a_share_the_longest_first():
    groups = {96: torch.tensor([0, 2, 5, 6]), 160: torch.tensor([3]), 32: torch.tensor([1, 4])}  # 608 columns
    pieces = [(width, words.tolist()) for width, words in _divided(groups, 2)]
    assert pieces == [(96, [0, 2, 5, 6]), (160, [3]), (32, [1, 4])]
    pieces = [(width, words.tolist()) for width, words in _divided(groups, 4)]  # 152 each
    assert pieces == [(96, [0, 2]), (96, [5, 6]), (160, [3]), (32, [1, 4])]


def test_flops_of_a_word_are_those_of_the_width_that_is_counted():
    """Convolutions grow with the columns; attention over T columns with T * T besides, two products of 2 C in 2 layers."""

    def counted(**options) -> float:
        torch.manual_seed(0)
        recognizer = PPOCRWordRecognizer(CHARSET, (16, 16, 24), 16, **options)
        return FlopCost(PPOCRSpotter(CHARSET, recognizer, TextMapDecoder(**MAP), (16, 16, 16, 24), 16)).per_word * 1e9

    def attention(columns: int) -> float:
        return 2 * 2 * 2 * 16 * columns**2

    usual, wide, half = counted(), counted(counted_width=192), counted(halve_width=True)
    assert counted(counted_width=96) == usual
    assert wide - attention(24) == pytest.approx(2 * (usual - attention(12)), rel=0.01)
    assert 0.5 * usual < half < 0.6 * usual
    for width in (0, 100, 1000):
        with pytest.raises(ConfigError, match=rf"recognizer\.counted_width must be a multiple of 8 up to 640, found {width}"):
            PPOCRWordRecognizer(CHARSET, (16, 16, 24), 16, counted_width=width)


def test_a_crop_shows_its_word_upright_and_nothing_else():
    image = np.zeros((200, 300, 3), np.float32)
    image[60:100, 50:250] = 255
    image[60:100, 50:150, 0] = 0  # the left half lacks red
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    crops = PPOCRWordRecognizer(CHARSET, (16, 16, 24), 16).crop(pixels, boundaries(box(50, 60, 200, 40)), torch.tensor([0]))
    assert crops.pixels.shape == (1, 3, 48, 256)
    assert crops.widths.tolist() == [256]
    assert crops.pixels[0, 1:, 1:-1, 1:-1].min() > 254
    assert crops.pixels[0, 0, :, :126].max() < 1
    assert crops.pixels[0, 0, 1:-1, 130:-1].min() > 254


def test_tall_words_are_reduced_with_a_filter():
    """Stripes of one pixel come out grey, not as one of their colours."""
    image = torch.zeros(1, 3, 400, 400)
    image[..., ::2] = 255
    crops = PPOCRWordRecognizer(CHARSET, (16, 16, 24), 16).crop(image, boundaries(box(0, 0, 400, 384)), torch.tensor([0]))
    assert crops.pixels[0, :, 4:-4, 4:-4].sub(127.5).abs().max() < 2


def test_crops_of_several_views_are_joined_as_wide_as_the_widest(words):
    recognizer = small().eval().recognizer
    narrow, wide = (WordCrops(torch.rand(2, 3, 48, w) * 255, widths=torch.full((2,), w)) for w in (48, 96))
    joined = WordCrops.concat([narrow, wide])
    assert joined.pixels.shape == (4, 3, 48, 96)
    context = recognizer.encode(joined)
    torch.testing.assert_close(context[:2, :6], recognizer.encode(narrow), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(context[2:], recognizer.encode(wide), atol=1e-5, rtol=1e-4)
    assert not context[:2, 6:].any()
    assert recognizer.logits(context)[:2, 6:].argmax(-1).eq(0).all()


def test_words_are_read_from_the_full_resolution(words):
    spotter = small().eval()
    near, far = (spotter.detect_maps_and_cut(words.view(scale), words.boundaries, words.image_index)[0] for scale in (1.0, 0.5))
    torch.testing.assert_close(near.pixels, far.pixels, atol=0.5, rtol=0)
    assert torch.equal(near.widths, far.widths)


def test_every_distillation_term_takes_it(words):
    student, teacher = small(1).train(), small(2).eval().requires_grad_(False)
    read = [
        spotter(words.view(1.0), words.boundaries, words.image_index, words.labels).recognition
        for spotter in (student, teacher)
    ]
    terms = Distillation({"r": RoIFeatures(), "c": Context(), "s": SequenceBeams(), "t": TokenKL()})
    found = terms(*read, words.labels, (student, teacher))
    assert set(found) == {"roi", "context", "sequence", "token"}
    sum(found.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in student.recognizer.parameters())
    same = terms(read[1], read[1], words.labels, (teacher, teacher))
    assert all(same[name] == pytest.approx(0, abs=1e-5) for name in ("roi", "context", "token"))


def test_another_family_is_taught_by_its_readings_alone(words):
    student, teacher = make_spotter(1).train(), small(2).eval()
    read = [
        spotter(words.view(1.0), words.boundaries, words.image_index, words.labels).recognition
        for spotter in (student, teacher)
    ]
    Distillation({"s": SequenceBeams()})(*read, words.labels, (student, teacher))["sequence"].backward()
    assert student.recognizer.attention.key.weight.grad.any()
    with pytest.raises(ConfigError, match="attention decoder"):
        Distillation({"t": TokenKL()})(*read, words.labels, (student, teacher))


def test_maps_of_two_strides_are_compared(words):
    student, teacher = make_spotter(1), small(2).eval()
    view, reference = words.views[0.5], words.views[1.0]
    maps = [spotter.detect_maps(one.images)[1] for spotter, one in ((student, view), (teacher, reference))]
    assert [one.text.shape[1] for one in maps] == [view.images.shape[2] // 2, reference.images.shape[2]]
    for one, other, seen in ((maps[0], maps[1], view), (maps[1], maps[1], reference)):
        found = TextMap()(one, other, seen, reference)
        assert found.isfinite().all()
        assert (found >= -1e-5).all()
    assert TextMap()(maps[1], maps[1], reference, reference).abs().max() < 1e-4


@pytest.mark.parametrize("objective", ["kl", "cross_entropy"])
def test_the_mixture_of_scales_is_one_of_ctc_columns(words, objective):
    student, teacher = small(1), small(2).eval()
    selector = GumbelSelector(SCALES, 0.1, [0.5, 1.0], channels=(4, 4), hidden=4)
    known = teacher(words.view(1.0), words.boundaries, words.image_index, words.labels).recognition
    costs = torch.tensor([SCALES, SCALES])
    terms = DRSObjective(objective)(selector, Evidence(student, words, known, costs, 1.0))
    terms["accuracy"].backward()
    assert terms["accuracy"].isfinite()
    assert all(parameter.grad.any() for parameter in selector.parameters())


def test_a_map_of_another_stride_is_refused():
    with pytest.raises(ConfigError, match="stride must be 1"):
        PPOCRSpotter(CHARSET, PPOCRWordRecognizer(CHARSET), TextMapDecoder())


@pytest.mark.parametrize("settings", [{"stages": (96, 192)}, {"channels": 30}, {"stages": (30, 192, 384)}])
def test_widths_that_cannot_be_built_are_refused(settings):
    with pytest.raises(ConfigError, match="multiple of"):
        PPOCRWordRecognizer(CHARSET, **settings)


def test_configuration_in_memory_is_that_of_the_option():
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", ["spotter@model.student=ppocr_small"])
    assert ppocr.configuration(Charset(PRINTABLE_ASCII)) == OmegaConf.to_container(config.model.student, resolve=True)
    assert (list(config.scales), config.thumbnail) == (ppocr.SCALES, ppocr.THUMBNAIL)


@pytest.mark.usefixtures("installed")
def test_the_wheel_is_a_checkpoint(tmp_path: Path, photos):
    predictor, photo = load("ppocr_small", device="cpu"), photos[0]  # which shows 'Way out' and 'Platform 13'
    read = predictor.read(photo, scale=0.5)
    assert {"PlatformA13"} <= {word.text for word in read.words}
    checkpoint = load_checkpoint("ppocr_small")
    save_checkpoint(tmp_path / "saved.ckpt", {"student": predictor.backend.spotter}, checkpoint.provenance)
    assert (tmp_path / "saved.ckpt").stat().st_size < 12e6
    again = load(tmp_path / "saved.ckpt", device="cpu").read(photo, scale=0.5)
    assert len(again.words) == len(read.words)
    assert again.gflops == pytest.approx(read.gflops)


@pytest.mark.usefixtures("installed")
def test_the_wheel_is_a_teacher_of_any_charset():
    given = ["spotter@model.teacher=ppocr_small", "stages.teacher.checkpoint=ppocr_small"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config, folded = (compose("train", [*given, f"charset={name}"]) for name in ("ascii", "alphanumeric"))
    teacher = build_teacher(config)
    assert teacher.recognizer.network.output.out_features == len(teacher.charset) == len(PRINTABLE_ASCII) + 4
    with pytest.raises(ConfigError, match="fold_case"):
        build_teacher(folded)


def test_without_the_wheel_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(weights, "MODULES", ("rapidocr_that_is_absent",))
    with pytest.raises(CheckpointError, match="is not installed: pip install"):
        load_checkpoint("ppocr_small")


def test_a_saved_checkpoint_needs_no_wheel(tmp_path: Path):
    spotter = PPOCRSpotter(CHARSET, PPOCRWordRecognizer(CHARSET), TextMapDecoder(**MAP))
    model = {"student": ppocr.configuration(CHARSET)}
    save_checkpoint(tmp_path / "c.ckpt", {"student": spotter}, {"format": 1, "model": model, "scales": [1.0], "thumbnail": 64})
    code = (
        "import sys; sys.modules['rapidocr'] = sys.modules['onnx'] = None\n"
        "from dld_spotter.inference.checkpoint import load_checkpoint\n"
        f"print(type(load_checkpoint({str(tmp_path / 'c.ckpt')!r}).spotter()).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "PPOCRSpotter", done.stderr


def test_a_vocabulary_weighs_what_was_read(words):
    spotter = small(vocabulary="english").eval()
    read = spotter(words.view(1.0), words.boundaries, words.image_index, words.labels).recognition
    labels = torch.from_numpy(CHARSET.indices(["cat", "dog"], 5))
    tried = spotter.weigh(read.context, torch.tensor([0, 0]), labels)
    assert tried.shape == (2,)
    assert tried.isfinite().all()
    assert len(spotter.rescore(read.context, ["cot", "tag", "a"])) == 3


def test_a_second_pass_sees_a_map_of_the_usual_stride(words):
    (found, _) = small().eval().detect(replace(words.views[1.0], full=None))
    height, width = words.views[1.0].images.shape[2:]
    assert found.probability.shape == (height // 2, width // 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recognizer": {"_target_": "os.system"}}, "no class that dld_spotter builds"),
        ({"recognizer": None}, "recognizer is None"),
        ({"stages": [48, 96, 192]}, "stages"),
        ({"stages": [48, 96, 192, 10**9]}, "stages"),
        ({"detector": "/etc/passwd"}, "has no 'detector'"),
    ],
)
def test_a_checkpoint_builds_nothing_else(tmp_path: Path, change, message):
    model = {"student": ppocr.configuration(CHARSET) | change}
    facts = {"format": 1, "model": model, "scales": [1.0], "thumbnail": 64}
    torch.save({"state_dict": {"student.x": torch.zeros(1)}, "dld_spotter": facts}, tmp_path / "strange.ckpt")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "strange.ckpt").spotter()
