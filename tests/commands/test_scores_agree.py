"""``evaluation.json`` and what ``python -m dld_spotter.score`` says of the ``predictions.zip`` beside it."""

import json
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

import dld_spotter
from dld_spotter import evaluate, score
from dld_spotter.config.entry import ROOT
from dld_spotter.evaluation.predictions import corners
from tests.data.samples import box, sample
from tests.trained import make_checkpoint

WORDS = [box(10, 10 + 30 * row, 60 + 9 * row, 20) for row in range(4)]
TEXTS = ("cat", '"cat"', "###", "dog's", "P.O.")
WITH_COMMAS = ("1,5", "cat,", "cat")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its reading of an image is nonsense, but found in the same places every time."""
    return make_checkpoint(tmp_path_factory.mktemp("small") / "small.ckpt", selector=False, operating_points=True)


def photos(folder: Path, checkpoint: Path, texts: tuple[str, ...]) -> Path:
    """Four photos, one of them without words; the truth stands where words are found, at half pixels."""
    predictor = dld_spotter.load(checkpoint, device="cpu")
    for name in ("images", "gts"):
        (folder / name).mkdir()
    for number in range(4):
        image = sample(130 + 8 * number, 160, WORDS[: number + 1], ["cat"] * (number + 1)).image
        Image.fromarray(image).save(folder / "images" / f"img_{number}.png")
        words = predictor.read(image, scale=1.0).words[:: number + 1] if number != 2 else ()
        lines = [
            ",".join(map(str, (corners(word.polygon) + 0.5).ravel().tolist())) + f",{texts[k % len(texts)]}"
            for k, word in enumerate(words)
        ]
        (folder / "gts" / f"gt_img_{number}.txt").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize("task", ["detection", "end_to_end", "word_spotting"])
@pytest.mark.parametrize("protocol", ["rrc", "totaltext", "davar"])
def test_an_evaluation_says_what_score_says(
    checkpoint: Path, protocol: str, task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    root = photos(tmp_path, checkpoint, TEXTS if protocol == "davar" else TEXTS + WITH_COMMAS)
    (tmp_path / "words.txt").write_text("cat\n")  # so that every reading is one
    for lexicon, policy in (("none", "adelaidet"), (tmp_path / "words.txt", "davar")):
        given = [f"protocol={protocol}", f"task={task}", f"lexicon={lexicon}", f"policy={policy}", "resamples=20"]
        overrides = [f"ckpt={checkpoint}", "data=icdar2015", f"data.root={root}", "data.workers=0", "gamma=0.05", *given]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            evaluate.run(compose("evaluate", overrides=overrides), tmp_path / "out")
        found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
        capsys.readouterr()
        assert score.main([f"gt={root / 'gts'}", f"preds={tmp_path / 'out' / 'predictions.zip'}", *given]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["images"] == found["images"] == 4
        assert said["images_without_predictions"] == 0
        for key in ("hmean", "precision", "recall"):
            assert found[key] == pytest.approx(said[key], abs=1e-9)
        assert np.allclose(found["hmean_interval"], said["hmean_interval"], atol=1e-9)
    assert found["hmean"] > 0.05
