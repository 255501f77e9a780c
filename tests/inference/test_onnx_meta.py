"""What ``meta.json`` of an export may say."""

import json
import os

import pytest

from dld_spotter.core.errors import CheckpointError
from dld_spotter.inference.onnx_meta import FORMAT, META, read_meta

META_FACTS = {
    "format": FORMAT,
    "charset": {"characters": "abc", "fold_case": False},
    "stride": 32,
    "scales": [0.5, 1.0],
    "postprocess": {"threshold": 0.5, "levels": [0.6, 0.8]},
    "full_resolution_crops": True,
    "min_score": 0.75,
    "max_length": 25,
    "vocabulary": None,
    "thumbnail": 128,
    "gflops": {"per_pixel": 1e-5, "per_word": 0.1, "selector": 0},
    "provenance": {"training": {"model": {"student": {"_target_": "dld_spotter.models.spotter.TextMapSpotter"}}}},
    "selector": {"continuous": True, "scales": [0.5, 1.0], "gammas": [0.1]},
}


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        (None, r"meta\.json does not exist"),
        ("{", "cannot be read"),
        *((meta, f"format {FORMAT}") for meta in ('{"format": 99}', "[]")),
    ],
)
def test_bad_meta_is_told(tmp_path, meta, words):
    if meta is not None:
        (tmp_path / META).write_text(meta)
    with pytest.raises(CheckpointError, match=words):
        read_meta(tmp_path)


def test_a_meta_of_plain_values_is_taken(tmp_path):
    for selector in (META_FACTS["selector"], None):
        (tmp_path / META).write_text(json.dumps(META_FACTS | {"selector": selector}))
        assert read_meta(tmp_path)["selector"] == selector


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"charset": {"characters": 5}}, r"charset\.characters=5, expected a text"),
        ({"charset": {"fold_case": True}}, r"lacks charset\.characters"),
        ({"charset": {"characters": "a", "_index": {}}}, "_index"),
        ({"charset": ["a"]}, "charset"),
        ({"postprocess": {"shell": "ls"}}, r"unknown postprocess\.'shell'"),
        ({"postprocess": {"threshold": "0.5"}}, r"postprocess\.threshold='0.5', expected a number"),
        ({"postprocess": {"points": 10**9}}, r"postprocess\.points"),
        ({"stride": 0}, "stride=0"),
        ({"thumbnail": 10**6}, "thumbnail=1000000"),
        ({"scales": "all"}, "scales='all'"),
        ({"gflops": {"per_pixel": 1}}, r"lacks gflops\.per_word"),
        ({"gflops": {"per_pixel": -1, "per_word": 0, "selector": 0}}, r"gflops\.per_pixel=-1"),
        ({"selector": {"continuous": "shell"}}, r"selector\.continuous='shell'"),
        ({"selector": {"continuous": 1}}, r"selector\.continuous=1"),
        ({"selector": {"continuous": True, "scales": [0.5]}}, r"lacks selector\.gammas"),
        ({"selector": 3}, "selector=3"),
        ({"provenance": {}}, r"lacks provenance\.training"),
        ({"provenance": {"training": {"_target_": "os.system"}}}, "_target_"),
        ({"vocabulary": "${oc.env:HOME}"}, "interpolation"),
        ({"min_score": float("nan")}, "min_score=nan"),
    ],
)
def test_a_meta_of_anything_else_is_told(tmp_path, change, words):
    (tmp_path / META).write_text(json.dumps(META_FACTS | change))
    with pytest.raises(CheckpointError, match=words) as caught:
        read_meta(tmp_path)
    assert "\n" not in str(caught.value)
    assert META in str(caught.value)


def test_a_meta_without_a_key_is_told(tmp_path):
    for key in META_FACTS:
        (tmp_path / META).write_text(json.dumps({name: value for name, value in META_FACTS.items() if name != key}))
        with pytest.raises(CheckpointError, match=key):
            read_meta(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, '{"format": ' + "[" * 40 + "]" * 40 + "}"])
def test_a_meta_that_only_costs_is_told(tmp_path, text):
    (tmp_path / META).write_text(text)
    with pytest.raises(CheckpointError, match=META):
        read_meta(tmp_path)


def test_a_meta_is_a_file(tmp_path):
    os.mkfifo(tmp_path / META)
    with pytest.raises(CheckpointError, match="no file of at most"):
        read_meta(tmp_path)
