import pytest
import torch
from torch import nn

from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.inference.checkpoint import FORMAT, load_checkpoint, load_weights, save_checkpoint
from dld_spotter.models.vocabulary import Vocabulary
from dld_spotter.selection.gumbel import GumbelSelector
from tests.small import SCALES, SPOTTER, THUMBNAIL, make_spotter
from tests.trained import POINTS

SELECTOR = {
    "_target_": "dld_spotter.selection.gumbel.GumbelSelector",
    "scales": list(SCALES),
    "gamma": 0.1,
    "factors": [1.0],
    "channels": [4, 4, 4, 4],
    "hidden": 8,
}


def provenance(**changes):
    model = {"teacher": SPOTTER, "student": SPOTTER, "selector": SELECTOR}
    return {"format": FORMAT, "model": model, "scales": list(SCALES), "thumbnail": THUMBNAIL} | changes


def make_selector():
    return GumbelSelector(SCALES, 0.1, [1.0], [4, 4, 4, 4], 8)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoints") / "deep" / "student.ckpt"
    save_checkpoint(path, {"student": make_spotter(1), "selector": make_selector()}, provenance())
    return path


def rewrite(path, folder, **changes):
    content = torch.load(path, weights_only=True)
    changed = folder / "changed.ckpt"
    torch.save(content | changes, changed)
    return changed


def assert_refused(action, *words):
    """One sentence that names the file and says what is wrong."""
    with pytest.raises(CheckpointError) as error:
        action()
    message = str(error.value)
    assert "\n" not in message
    assert ".ckpt" in message
    for word in words:
        assert word in message


def test_round_trip_in_half_precision(saved, batch):
    original = make_spotter(1).eval()
    checkpoint = load_checkpoint(saved)
    assert checkpoint.parts() == ["student", "selector"]
    assert set(checkpoint.provenance["model"]) == {"student", "selector"}
    stored = torch.load(saved, weights_only=True)["state_dict"]
    assert {value.dtype for value in stored.values()} == {torch.float16, torch.int64}
    spotter = checkpoint.spotter()
    assert not spotter.training
    for name, value in spotter.state_dict().items():
        expected = original.state_dict()[name]
        assert value.dtype == expected.dtype
        torch.testing.assert_close(value, expected.half().to(expected.dtype) if value.is_floating_point() else expected)
    view = batch.views[1.0]
    first = original(view, batch.boundaries, batch.image_index, batch.labels).recognition.logits
    second = spotter(view, batch.boundaries, batch.image_index, batch.labels).recognition.logits
    torch.testing.assert_close(first, second, atol=0.02, rtol=0.02)
    assert checkpoint.policy().scales == SCALES


@pytest.mark.parametrize(
    "name", ["dld_spotter.selection.quality.QualitySelector", "dld_spotter.models.selector.QualitySelector"]
)
def test_a_selector_of_an_earlier_version_is_left_out_in_a_sentence(saved, tmp_path, caplog, name):
    earlier = SELECTOR | {"_target_": name, "heights": [4.0, 200.0], "bins": 14}
    facts = provenance(model={"student": SPOTTER, "selector": earlier})
    checkpoint = load_checkpoint(rewrite(saved, tmp_path, dld_spotter=facts))
    assert checkpoint.policy() is None
    assert checkpoint.spotter() is not None
    assert "QualitySelector), which is gone: it is read at full resolution" in caplog.text
    caplog.clear()
    facts |= {"operating_points": POINTS.to_dict()}
    assert load_checkpoint(rewrite(saved, tmp_path, dld_spotter=facts)).policy().second_passes
    assert not caplog.text


def test_a_vocabulary_in_place_of_the_checkpoint_s_own(saved, tmp_path):
    (tmp_path / "words.txt").write_text("cat\n")
    assert load_checkpoint(saved).spotter().vocabulary is None
    assert load_checkpoint(saved, "english").spotter().vocabulary == Vocabulary("english")
    content = load_checkpoint(saved, tmp_path / "words.txt")
    spotter = content.spotter()
    assert spotter.vocabulary.words.share == {"cat": 1.0}
    path = tmp_path / "with.ckpt"
    save_checkpoint(path, {"student": spotter}, content.provenance)
    with pytest.raises(CheckpointError, match=r"with\.ckpt was made with the vocabulary .*; give that file as vocabulary=FILE"):
        load_checkpoint(path).spotter()  # a file opens no other file by itself
    assert load_checkpoint(path, tmp_path / "words.txt").spotter().vocabulary == spotter.vocabulary
    assert load_checkpoint(path, "none").spotter().vocabulary is None
    with pytest.raises(ConfigError, match=r"vocabulary=.*nowhere\.txt cannot be read"):
        load_checkpoint(saved, "nowhere.txt")


def test_nothing_half_written_is_left(saved):
    assert [path.name for path in saved.parent.iterdir()] == ["student.ckpt"]


def test_teacher_stands_in_for_the_student(tmp_path):
    path = tmp_path / "teacher.ckpt"
    save_checkpoint(path, {"teacher": make_spotter()}, provenance())
    checkpoint = load_checkpoint(str(path))
    assert checkpoint.policy() is None
    assert checkpoint.spotter().charset.characters == SPOTTER["charset"]["characters"]
    assert_refused(lambda: checkpoint.weights("student"), "student", "teacher")
    assert_refused(lambda: checkpoint.build("student"), "student")


def test_missing_file(tmp_path):
    assert_refused(lambda: load_checkpoint(tmp_path / "absent.ckpt"), "absent.ckpt", "does not exist")
    assert_refused(lambda: load_checkpoint(tmp_path.with_suffix(".ckpt")), "does not exist")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_file(saved, tmp_path, share):
    path = tmp_path / "cut.ckpt"
    content = saved.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert_refused(lambda: load_checkpoint(path), "cut.ckpt", "damaged")


@pytest.mark.parametrize("content", [b"no checkpoint", b"\x80\x04", b"(lp0\n", b"I1\n.", b"\x00" * 999, b"PK\x03\x04"])
def test_other_files(tmp_path, content):
    path = tmp_path / "other.ckpt"
    path.write_bytes(content)
    assert_refused(lambda: load_checkpoint(path), "other.ckpt")


@pytest.mark.parametrize(
    "content",
    [[1], {"state_dict": {}}, {"dld_spotter": {}}, {"state_dict": {}, "dld_spotter": 3}, {"state_dict": [], "dld_spotter": {}}],
)
def test_checkpoints_of_others(tmp_path, content):
    path = tmp_path / "foreign.ckpt"
    torch.save(content, path)
    assert_refused(lambda: load_checkpoint(path), "foreign.ckpt", "python -m dld_spotter.train")


def test_pickled_code_is_not_run(tmp_path):
    torch.save({"state_dict": nn.Linear(1, 1), "dld_spotter": {}}, tmp_path / "code.ckpt")
    assert_refused(lambda: load_checkpoint(tmp_path / "code.ckpt"), "plain values")


def test_other_format(saved, tmp_path):
    changed = rewrite(saved, tmp_path, dld_spotter=provenance(format=FORMAT + 1))
    assert_refused(lambda: load_checkpoint(changed), f"format {FORMAT + 1}", str(FORMAT))


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "dld_spotter.config.assembly.os.system",
        "dld_spotter.inference.checkpoint.torch.load",
        "dld_spotter.inference.checkpoint.Path",
        "dld_spotter.inference.checkpoint.save_checkpoint",
        "dld_spotter.nothing.Here",
        "dld_spotter_of_somebody.Class",
        "${oc.env:HOME}",
    ],
)
@pytest.mark.parametrize("place", ["top", "nested", "listed"])
def test_foreign_targets_are_not_built(saved, tmp_path, target, place):
    foreign = {"_target_": target, "command": f"touch {tmp_path}/executed"}
    config = {"top": foreign, "nested": SPOTTER | {"backbone": foreign}, "listed": SPOTTER | {"widths": [foreign]}}[place]
    changed = rewrite(saved, tmp_path, dld_spotter=provenance(model={"student": config}))
    assert_refused(lambda: load_checkpoint(changed).spotter(), "changed.ckpt", target)
    assert not (tmp_path / "executed").exists()


def test_interpolations_are_not_resolved(saved, tmp_path):
    config = SPOTTER | {"backbone": "${oc.create:{_target_:os.getcwd}}"}
    changed = rewrite(saved, tmp_path, dld_spotter=provenance(model={"student": config}))
    assert_refused(lambda: load_checkpoint(changed), "interpolation", "model.student.backbone")


@pytest.mark.parametrize("config", [SPOTTER | {"unknown": 1}, SPOTTER | {"channels": "many"}, {**SPOTTER, "charset": None}])
def test_configuration_that_cannot_be_built(saved, tmp_path, config):
    checkpoint = load_checkpoint(rewrite(saved, tmp_path, dld_spotter=provenance(model={"student": config})))
    assert_refused(checkpoint.spotter, "student", "cannot be built")


def test_configuration_is_missing(saved, tmp_path):
    checkpoint = load_checkpoint(rewrite(saved, tmp_path, dld_spotter=provenance(model={})))
    assert_refused(checkpoint.spotter, "configuration", "student")


def test_shapes_and_names_must_fit(saved):
    weights = load_checkpoint(saved).weights("student")
    assert_refused(lambda: load_weights(make_spotter(hidden=8), weights, saved), "another shape", "more")
    one = dict(weights)
    del one["neck.lateral.0.bias"]
    assert_refused(lambda: load_weights(make_spotter(), one, saved), "lacks neck.lateral.0.bias;")
    assert_refused(lambda: load_weights(make_spotter(), weights | {"extra": torch.zeros(1)}, saved), "unknown extra")
