"""Records come back from plain values, and whatever else those hold is told in one sentence."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf, nan
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dld_spotter.core.errors import CheckpointError, ConfigError, DataError
from dld_spotter.core.records import LARGEST, LONGEST, Record

NUMBERS = st.floats(min_value=-1e300, allow_nan=False)
WHOLE = st.integers(-LARGEST, LARGEST)


@dataclass(frozen=True)
class Inner(Record):
    share: float
    kind: Literal["high", "low"] = "low"

    def __post_init__(self) -> None:
        if not self.share >= 0:
            raise ConfigError(f"a share needs to be at least 0, found {self.share}")


@dataclass(frozen=True)
class Outer(Record):
    remedy: ClassVar[str] = "measure again"

    number: float
    whole: int
    flag: bool
    name: str
    maybe: float | None = None
    many: tuple[float, ...] = ()
    pair: tuple[float, int] | None = None
    tables: Mapping[float, Mapping[int, tuple[tuple[float, ...], ...]]] = field(default_factory=dict)
    inner: Inner = Inner(0.5)
    inners: tuple[Inner, ...] = ()
    derived: int = field(init=False, default=7)


@dataclass(frozen=True)
class Open(Record):
    remedy: ClassVar[str] = "write it again"
    refusal: ClassVar = DataError
    closed: ClassVar[bool] = False

    number: float


PLAIN = Outer(
    1.5,
    2,
    True,
    "a",
    0.25,
    (1.0, inf),
    (0.5, 3),
    {0.3: {1: ((1.0,), (2.0, 3.0))}},
    Inner(0.0),
    (Inner(1.0, "high"), Inner(inf)),
)
INNERS = st.builds(Inner, st.floats(0, allow_nan=False), st.sampled_from(["high", "low"]))
OUTERS = st.builds(
    Outer,
    number=NUMBERS,
    whole=WHOLE,
    flag=st.booleans(),
    name=st.text(),
    maybe=st.none() | NUMBERS,
    many=st.lists(NUMBERS).map(tuple),
    pair=st.none() | st.tuples(NUMBERS, WHOLE),
    tables=st.dictionaries(
        NUMBERS, st.dictionaries(WHOLE, st.lists(st.lists(NUMBERS, max_size=2).map(tuple), max_size=2).map(tuple))
    ),
    inner=INNERS,
    inners=st.lists(INNERS, max_size=3).map(tuple),
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), part, max_size=3),
    max_leaves=8,
)


def fault(values: Any, kind: type[Record] = Outer) -> str:
    with pytest.raises((CheckpointError, DataError)) as caught:
        kind.from_dict(values, "here.ckpt")
    sentence = str(caught.value)
    start, end = f"here.ckpt holds a damaged or older {kind.__name__} (", f"; {kind.remedy}"
    assert sentence.startswith(start)
    assert sentence.endswith(end)
    assert "\n" not in sentence
    return sentence[len(start) : -len(end)]


def read_or_told(values: Any) -> None:
    try:
        record = Outer.from_dict(values, "here.ckpt")
    except CheckpointError:
        fault(values)
    else:
        assert Outer.from_dict(record.to_dict(), "here.ckpt") == record


@given(OUTERS)
def test_a_record_comes_back_from_json(record: Outer):
    assert Outer.from_dict(json.loads(json.dumps(record.to_dict(), allow_nan=False)), "here") == record


def test_the_form_is_that_of_json():
    assert PLAIN.to_dict() == {
        "number": 1.5,
        "whole": 2,
        "flag": True,
        "name": "a",
        "maybe": 0.25,
        "many": [1.0, "inf"],
        "pair": [0.5, 3],
        "tables": {"0.3": {"1": [[1.0], [2.0, 3.0]]}},
        "inner": {"share": 0.0, "kind": "low"},
        "inners": [{"share": 1.0, "kind": "high"}, {"share": "inf", "kind": "low"}],
    }


def test_entries_with_a_default_may_be_missing():
    assert Outer.from_dict({"number": 1, "whole": 2, "flag": False, "name": ""}, "here") == Outer(1.0, 2, False, "")


def test_numbers_come_as_the_type_that_is_declared():
    read = Outer.from_dict(PLAIN.to_dict() | {"number": 3, "maybe": inf, "tables": {1: {2: []}}}, "here")
    assert (type(read.number), read.maybe) == (float, inf)
    assert read.tables == {1.0: {2: ()}}


def test_numbers_of_numpy_become_plain():
    plain = replace(PLAIN, number=np.float64(2), whole=np.int64(3), many=(np.float32(0.5),)).to_dict()
    assert [type(value) for value in (plain["number"], plain["whole"], plain["many"][0])] == [float, int, float]
    json.dumps(plain)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"number": "1.5"}, "(expected a number, found '1.5') at number"),
        ({"number": "nan"}, "(expected a number, found 'nan') at number"),
        ({"number": "Infinity"}, "(expected a number, found 'Infinity') at number"),
        ({"number": "-inf"}, "(expected a number, found '-inf') at number"),
        ({"number": nan}, "(expected a number, found nan) at number"),
        ({"number": -inf}, "(expected a number, found -inf) at number"),
        ({"number": True}, "(expected a number, found True) at number"),
        ({"number": None}, "(expected a number, found None) at number"),
        ({"number": [1.0]}, "(expected a number, found list) at number"),
        ({"number": 10**400}, "(expected a number, found 1000000000"),
        ({"number": 10**5000}, "(expected a number, found int) at number"),
        ({"whole": 1.0}, "(expected int, found 1.0) at whole"),
        ({"whole": True}, "(expected int, found True) at whole"),
        ({"whole": "1"}, "(expected int, found '1') at whole"),
        ({"whole": inf}, "(expected int, found inf) at whole"),
        ({"whole": 2**53 + 1}, "(expected int, found 9007199254740993) at whole"),
        ({"flag": 1}, "(expected bool, found 1) at flag"),
        ({"flag": "true"}, "(expected bool, found 'true') at flag"),
        ({"name": 5}, "(expected str, found 5) at name"),
        ({"name": b"a"}, "(expected str, found b'a') at name"),
        ({"maybe": "none"}, "(expected a number, found 'none') at maybe"),
        ({"many": "12"}, "(expected a list, found '12') at many"),
        ({"many": {"0": 1.0}}, "(expected a list, found dict) at many"),
        ({"many": None}, "(expected a list, found None) at many"),
        ({"many": [1.0, [2.0]]}, "(expected a number, found list) at many[1]"),
        ({"pair": [1.0]}, "(expected 2 values, found 1) at pair"),
        ({"pair": [1.0, 2.0]}, "(expected int, found 2.0) at pair[1]"),
        ({"tables": [1]}, "(expected entries by name, found list) at tables"),
        ({"tables": {"wide": {}}}, "(expected a number, found 'wide') at tables"),
        ({"tables": {"0_5": {}}}, "(expected a number, found '0_5') at tables"),
        ({"tables": {"1e": {}}}, "(expected a number, found '1e') at tables"),
        ({"tables": {"0.5": {"1.0": []}}}, "(expected int, found '1.0') at tables[0.5]"),
        ({"tables": {"0.5": {"1": [["x"]]}}}, "(expected a number, found 'x') at tables[0.5][1][0][0]"),
        ({"tables": {"0.5": {}, "0.50": {}}}, "(two entries for 0.5) at tables"),
        ({"inner": 1}, "(expected entries by name, found 1) at inner"),
        ({"inner": {}}, "(no entry share) at inner"),
        ({"inner": {"share": -1}}, "(a share needs to be at least 0, found -1.0) at inner"),
        ({"inner": {"share": 1, "kind": "middle"}}, "(expected one of high, low, found 'middle') at inner.kind"),
        ({"inner": {"share": 1, "kind": ["low"]}}, "(expected one of high, low, found list) at inner.kind"),
        ({"inners": [{"share": 1}, {"shape": 1}]}, "(unknown entry shape) at inners[1]"),
        ({"run": "ls"}, "(unknown entry run)"),
        ({"derived": 7}, "(unknown entry derived)"),
        ({5: 1, None: 2}, "(unknown entry 5)"),
        ({"a\nb\x1b[2J": 1}, "(unknown entry a\\nb\\x1b[2J)"),
        ({"name": ["\n"] * 99}, "(expected str, found list) at name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_damaged_is_named_with_its_place(change: dict, told: str):
    assert f"({fault(PLAIN.to_dict() | change)}".startswith(told)


@pytest.mark.parametrize("values", [None, 5, "text", [["number", 1.5]], [], b"", {1, 2}], ids=str)
def test_what_is_no_record_at_all(values: Any):
    assert fault(values).startswith("expected entries by name, found ")


@pytest.mark.parametrize("name", ["number", "whole", "flag", "name"])
def test_what_has_no_default_must_be_there(name: str):
    values = PLAIN.to_dict()
    del values[name]
    assert fault(values) == f"no entry {name})"


@given(ANYTHING)
def test_whatever_a_file_holds_is_a_record_or_told(values: Any):
    read_or_told(values)


@given(st.sampled_from(sorted(PLAIN.to_dict())), ANYTHING)
def test_whatever_an_entry_holds_is_a_record_or_told(name: str, value: Any):
    read_or_told(PLAIN.to_dict() | {name: value})


def test_deep_and_long_values_are_told_shortly():
    deep: Any = 1.0
    for _ in range(100_000):
        deep = [deep]
    assert fault(PLAIN.to_dict() | {"many": [deep]}) == "expected a number, found list) at many[0]"
    assert len(fault(PLAIN.to_dict() | {"name": 5, "x" * 10**6: 1})) < LONGEST
    assert len(fault({"number": "9" * 10**6})) < LONGEST


def test_a_long_reason_of_the_record_itself_is_cut():
    @dataclass(frozen=True)
    class Wordy(Record):
        many: tuple[float, ...]

        def __post_init__(self) -> None:
            raise DataError(f"found {self.many}")

    assert len(fault({"many": [0.0] * 9999}, Wordy)) <= LONGEST + 1


@pytest.mark.parametrize("error", [ZeroDivisionError, IndexError, KeyError, ValueError, TypeError, OverflowError, DataError])
def test_whatever_a_record_raises_is_told(error: type[Exception]):
    @dataclass(frozen=True)
    class Strict(Record):
        number: float

        def __post_init__(self) -> None:
            raise error("reason")

    assert "reason" in fault({"number": 1.0}, Strict)


def test_records_that_are_open_leave_out_what_they_do_not_know():
    assert Open.from_dict({"number": 1.0, "later": [1]}, "here") == Open(1.0)
    with pytest.raises(DataError, match=r"^here holds a damaged or older Open \(no entry number\); write it again$"):
        Open.from_dict({"later": 1}, "here")


@pytest.mark.parametrize("number", [nan, -inf, np.float64(nan)])
def test_what_would_not_come_back_is_not_written(number: float):
    with pytest.raises(ValueError, match="a record cannot hold"):
        replace(PLAIN, many=(1.0, number)).to_dict()


def test_what_has_no_plain_form_is_not_written():
    with pytest.raises(TypeError, match="a record cannot hold ndarray"):
        replace(PLAIN, many=np.zeros(2)).to_dict()


def test_a_type_that_records_do_not_know_is_a_fault_of_the_programme():
    @dataclass(frozen=True)
    class Strange(Record):
        many: list[float]

    with pytest.raises(NotImplementedError, match="list"):
        Strange.from_dict({"many": [1.0]}, "here")
