"""The weights that travel with the package read what they were trained for, under whatever names they were written."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from dld_spotter.core.aliases import CLASSES, SETTINGS
from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.inference.checkpoint import load_checkpoint, locate
from dld_spotter.inference.loading import load
from dld_spotter.metrics.matching import Hmean, score_image

BEFORE = {now: earlier for table in (SETTINGS, CLASSES) for earlier, now in table.items()}


@pytest.mark.parametrize("name", ["bundled", "bundled_tiny"])
def test_bundled_weights_are_small_enough_to_travel(name):
    assert locate(name).stat().st_size <= 12 * 10**6


@pytest.mark.parametrize(("name", "first_passes"), [("bundled_tiny", {0.2, 0.25, 0.5}), ("bundled", {0.3, 0.4, 0.5})])
def test_bundled_weights_carry_what_they_need(name, first_passes):
    content = load_checkpoint(name)
    assert "student" in content.parts()
    assert content.provenance["scales"][-1] == 1.0
    assert content.spotter().full_resolution_crops
    assert content.policy().calibration.low < 0.15
    assert content.second_pass().gains.tables.keys() >= first_passes


def earlier(tree: Any) -> Any:
    """Plain values under the names that they had."""
    if isinstance(tree, dict):
        return {BEFORE.get(key, key): earlier(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [earlier(value) for value in tree]
    return BEFORE.get(tree, tree) if isinstance(tree, str) else tree


def test_weights_that_were_written_under_earlier_names_read_the_same(tmp_path: Path):
    content = torch.load(locate("bundled_tiny"), weights_only=True, map_location="cpu")
    content["dld_spotter"] = earlier(content["dld_spotter"])
    facts, path = content["dld_spotter"], tmp_path / "before.ckpt"
    assert {"ladder", "escalation"} <= set(facts)
    assert {"prices", "scales", "losses", "costs"} <= set(facts["ladder"])
    assert {"price", "legible", "gains"} <= set(facts["escalation"])
    assert facts["model"]["student"]["close_up"] is True
    assert facts["model"]["student"]["charset"]["_target_"] == "dld_spotter.charset.Charset"
    torch.save(content, path)
    one, other = load("bundled_tiny", device="cpu"), load(path, device="cpu")
    assert other.policy.points == one.policy.points
    assert other.rule == one.rule
    scene = SceneRenderer(77, SceneLayout(256, 256, probabilities={"medium": 1})).render(0).image
    for request in ({}, {"budget": 0.3}, {"scale": 0.5}):
        found, expected = other.read(scene, **request), one.read(scene, **request)
        assert [word.text for word in found.words] == [word.text for word in expected.words]
        for word, same in zip(found.words, expected.words, strict=True):
            np.testing.assert_array_equal(word.polygon, same.polygon)
        assert (found.scale, found.gflops) == (expected.scale, expected.gflops)


@pytest.mark.parametrize(("name", "least"), [("bundled", 0.5), ("bundled_tiny", 0.5)])
def test_bundled_weights_read_unseen_scenes(name, least):
    renderer = SceneRenderer(77, SceneLayout(256, 256, probabilities={"medium": 1}))
    spotter = load(name, device="cpu")
    samples = [renderer.render(index) for index in range(12)]
    counts = [score_image(sample.instances, spotter.read(sample.image).words) for sample in samples]
    assert Hmean.of(counts).hmean > least


def test_words_in_one_region_are_told_apart_at_their_space():
    image, font = Image.new("RGB", (420, 80), "white"), ImageFont.load_default(44)
    draw = ImageDraw.Draw(image)
    places = []
    for left, text in ((20, "GAIN"), (140, "city")):
        draw.text((left, 10), text, "black", font)
        places.append(draw.textbbox((left, 10), text, font))
    backend = load("bundled", device="cpu").backend
    detections = backend.detect([np.array(image)], 1.0)[0]
    left, right = places[0][0], places[1][2]
    region = np.array([[left, 16], [right, 16], [right, 58], [left, 58]], np.float32)
    given = detections.at([region])
    words = backend.recognize([given], [given.all])[0]
    assert [word.text for word in words] == ["GAIN", "city"]
    for word, (start, _, end, _) in zip(words, places, strict=True):
        np.testing.assert_allclose([word.polygon[:, 0].min(), word.polygon[:, 0].max()], [start, end], atol=10)
    assert [word.text for word in backend.read_boxes(detections, [region])] == ["GAINcity"]
