"""Many images: which are read together."""

from pathlib import Path

import pytest

from dld_spotter.data.pages import Page
from dld_spotter.inference.many import batches_of
from dld_spotter.inference.writers import JsonWriter


@pytest.mark.parametrize(
    ("size", "done", "written", "left"),
    [
        (3, "", "", "abc def gh"),
        (3, "abc", "abc", "def gh"),
        (3, "abcd", "abc", "def gh"),  # the second batch was cut off
        (3, "acdef", "ac def", "b gh"),  # an image of a batch that was not the last one is damaged
        (3, "abcdefg", "abc def", "gh"),
        (3, "abcdefgh", "abc def gh", ""),
        (1, "bd", "b d", "a c e f g h"),
    ],
)
def test_a_batch_that_was_cut_off_is_read_again_as_a_whole(size, done, written, left, tmp_path):
    pages = {name: Page(Path(f"{name}.png")) for name in "abcdefgh"}
    names = {page.key: name for name, page in pages.items()}
    with (tmp_path / "out.jsonl").open("w") as file:
        writer = JsonWriter(file, False, {pages[name].key: {} for name in done}, "out")
        both = batches_of(list(pages.values()), size, writer)
    assert [" ".join("".join(names[page.key] for page in batch) for batch in some) for some in both] == [written, left]
