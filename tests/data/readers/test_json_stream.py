import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dld_spotter.core.errors import DataError
from dld_spotter.data.readers import json_stream
from dld_spotter.data.readers.json_stream import JsonCursor

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(st.dictionaries(TEXT, VALUES, max_size=6), st.integers(1, 40), st.sampled_from([None, 2]), st.booleans())
def test_members_are_those_of_the_json_module(tmp_path, monkeypatch, content, chunk, indent, ascii_only):
    monkeypatch.setattr(json_stream, "CHUNK", chunk)
    file = tmp_path / "a.json"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(content, indent=indent, ensure_ascii=ascii_only).encode())
    with JsonCursor(file) as cursor:
        assert {key: cursor.value() for key in cursor.members()} == content


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "character 0: expected more, found the end of the file"),
        (b'{"a" 1}', 'character 5: expected ":"'),
        (b'{"a": 1 "b"}', 'character 8: expected ","'),
        (b"{3: 1}", "expected a key in quotes"),
        (b'{"a": tru}', "character 6: expected a JSON value, found 'tru}'"),
        (b'{"a": "\xe9"}', "expected UTF-8, found byte 0xe9"),
        (b'{"a": [1, 2', "expected a JSON value"),
        (b'{"a": ' + b"[" * 200_000, "expected a JSON value"),
    ],
)
def test_faults_are_placed(tmp_path, content, found):
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with JsonCursor(file) as cursor, pytest.raises(DataError, match=f"a.json.*{found}"):
        dict.fromkeys(cursor.value() for _ in cursor.members())


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"a\.json cannot be read"), JsonCursor(tmp_path / "a.json"):
        pass
