"""Inputs that hypothesis makes from nothing, by kind."""

import json

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.fuzz.mutate import VALUES

NAMES = (
    *("image", "words", "polygon", "text", "ignore", "split", "score", "imgs", "anns", "id", "image_id", "file_name", "set"),
    *("mask", "bbox", "utf8_string", "points", "content_ann", "bboxes", "texts", "cares", "format", "scales", "costs"),
    *("dataset", "points", "images", "method", "hmean", "_target_", "charset", "characters", "postprocess", "provenance"),
)
_ATOMS = st.one_of(
    st.sampled_from(VALUES),
    st.floats(),
    st.integers(),
    st.text(max_size=20),
    st.sampled_from(["images/img_1.jpg", "train", "val"]),
)
_TREES = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6), st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=8)), inner, max_size=6)
    ),
    max_leaves=30,
)
_FIELD = st.one_of(
    st.integers(-5, 90).map(str),
    st.floats().map(repr),
    st.text(max_size=12),
    st.sampled_from(["", "###", '"a, b"', "0.9", "####", "Latin", "x: [[1 2 3]]", "transcriptions: [u'a']", "\ufeff", "1e999"]),
)
_LINE = st.tuples(st.lists(_FIELD, max_size=36), st.sampled_from([",", ", ", ";", " ", "\t", ",####"])).map(
    lambda parts: parts[1].join(parts[0])
)
_KEY = st.one_of(
    st.sampled_from(
        ["scale", "budget", "input", "ckpt", "data", "data.root", "out", "reference", "hydra.run.dir", "paths.output_dir"]
    ),
    st.text(max_size=12),
)
_VALUE = st.one_of(
    st.text(max_size=24),
    st.sampled_from(
        ["[", "{a:", "${", "${oc.env:X}", "a=b", "null", "1e999", "'", '"', "\\", "[1,[2]]", "range(3)", "???", "~"]
    ),
)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _document(tree: object) -> bytes:
    return _encoded(json.dumps(tree, ensure_ascii=False))


MADE: dict[str, SearchStrategy[bytes]] = {
    "json": _TREES.map(_document),
    "lines": st.lists(_LINE, max_size=5).map("\n".join).map(_encoded),
    "overrides": st.tuples(st.sampled_from(["", "+", "++", "~", "--", "-"]), _KEY, st.sampled_from(["=", "", "@a="]), _VALUE)
    .map("".join)
    .map(lambda text: text.replace("\0", "").encode("utf-8", "replace")),
}
