"""What is found before anything is read."""

import numpy as np

from dld_spotter.models.detections import Detections
from dld_spotter.models.proposals import Proposals


def box(left: float, top: float, right: float, bottom: float) -> list[list[list[float]]]:
    return [[[left, top], [right, top]], [[left, bottom], [right, bottom]]]


WHOLE, PART, OTHER_PART, ALONE = box(10, 10, 90, 30), box(10, 12, 45, 28), box(50, 12, 90, 28), box(10, 50, 60, 58)


def detections() -> Detections:
    regions = Proposals(
        np.array([WHOLE, ALONE, PART, OTHER_PART], np.float32), np.array([0.8, 0.7, 0.9, 0.85]), np.array([-1, -1, 0, 0])
    )
    return Detections((64, 128), np.zeros((32, 64), np.float32), regions, np.array([0.5, 0.25], np.float32))


def test_parts_are_as_high_and_lie_where_their_whole_does():
    found = detections()
    assert found.heights().tolist() == [20, 8, 20, 20]
    outlines = found.outlines()
    np.testing.assert_allclose(outlines[0], [[20, 40], [180, 40], [180, 120], [20, 120]])  # in pixels of the reference
    assert all(np.array_equal(outlines[part], outlines[0]) for part in (2, 3))


def test_wholes_stay_with_all_of_their_parts_or_alone():
    found = detections()
    assert found.within(found.all, None).tolist() == [0, 1, 2, 3]
    assert found.within(found.all, 3).tolist() == [0, 1]
    assert found.within(found.all, 1).tolist() == [0]
    assert found.within(found.all, -1).tolist() == []
    assert found.within(np.array([1]), 5).tolist() == [1]
    assert found.within(np.array([], int), 5).tolist() == []


def test_parts_of_parts_belong_to_the_first():
    boundaries = np.array([WHOLE, PART, PART], np.float32)
    assert Proposals(boundaries, np.ones(3), np.array([-1, 0, 1])).roots().tolist() == [0, 0, 0]
