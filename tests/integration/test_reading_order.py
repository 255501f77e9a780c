"""The bundled weights read a page in two columns and a receipt in the order in which people read them."""

import numpy as np
import pytest

import dld_spotter
from dld_spotter.inference.second_pass.two_pass import sharing
from tests.inference.pages import adjacent_pairs, article, receipt

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["article", "receipt"])
def test_order_of_what_is_read(name):
    page = {"article": article, "receipt": receipt}[name]()
    reading = dld_spotter.load("bundled").read(np.asarray(page.image), scale=1.0)
    places = sharing(reading.words, page.words)
    order = [int(near[0]) for near in places if len(near)]
    texts = [page.words[k].text.lower() for k in order]
    found = [word.text.lower() for word, near in zip(reading.words, places, strict=True) if len(near)]
    right = np.mean([text == read for text, read in zip(texts, found, strict=True)])
    accuracy = adjacent_pairs(order, sorted(order))  # what was not found is out of no order
    found_all = f"{len(set(order))} of {len(page.words)} words found"
    print(f"{name}: {found_all}, {right:.3f} right, order {accuracy:.3f}, {reading.seconds:.0f} s")
    assert len(order) == len(set(order))
    assert len(order) >= 0.97 * len(page.words)
    assert accuracy >= 0.98
