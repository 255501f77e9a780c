import numpy as np
import pytest

from dld_spotter.core.bootstrap import bootstrap, resample
from dld_spotter.core.errors import DataError
from dld_spotter.tradeoff import MEASURES, Measures, estimate


@pytest.fixture
def measures():
    """Three images at two scales; every number differs from all others."""
    return Measures(np.arange(36.0).reshape(3, 2, 6))


def test_names_stand_in_the_order_of_the_file(measures):
    for place, name in enumerate(MEASURES):
        np.testing.assert_array_equal(getattr(measures, name), measures.values[..., place])
    again = Measures.of(*(getattr(measures, name) for name in MEASURES))
    np.testing.assert_array_equal(again.values, measures.values)


def test_figures_by_hand():
    measures = Measures.of([3, 0, 0], [4, 2, 0], [6, 0, 5])
    assert measures.precision.tolist() == [0.75, 0, 0]
    assert measures.recall.tolist() == [0.5, 0, 0]
    assert measures.hmean.tolist() == pytest.approx([0.6, 0, 0])
    assert float(measures.sum().hmean) == float(measures.mean().hmean) == pytest.approx(6 / 17)


def test_one_image_has_measures_of_no_dimension():
    one = Measures.of(1, 2, 3, 0.5, 10, 0.1)
    assert one.shape == ()
    assert (float(one.hmean), float(one.seconds)) == (0.4, 0.1)
    assert Measures.stack([one, one]).shape == (2,)


@pytest.mark.parametrize(
    "index",
    [0, -1, slice(1, None), (slice(None), 1), (2, 1), (..., 0), np.array([True, False, True]), np.array([2, 0, 0])],
    ids=str,
)
def test_an_index_selects_images_and_scales_but_never_a_column(measures, index):
    selected = measures[index]
    for name in MEASURES:
        np.testing.assert_array_equal(getattr(selected, name), getattr(measures, name)[index])


def test_indices_of_too_many_dimensions_are_refused(measures):
    for index in ((0, 0, 0), (0, 0, slice(None), 0)):
        with pytest.raises(IndexError):
            measures[index]
    assert len(measures) == 3
    with pytest.raises(IndexError):
        measures[0, 0][0]


def test_a_stack_is_undone_by_an_index(measures):
    stacked = Measures.stack(measures[i] for i in range(3))
    np.testing.assert_array_equal(stacked.values, measures.values)


def test_a_mixture_weighs_the_last_dimension(measures):
    weights = np.array([[1, 0], [0.5, 0.5], [0.25, 0.75]])
    mixed = measures.mixed(weights)
    assert mixed.shape == (3,)
    for i in range(3):
        np.testing.assert_allclose(mixed.values[i], weights[i] @ measures.values[i])


def test_what_a_decision_costs_is_added_and_changes_no_count(measures):
    more = measures.plus(relative_cost=0.5, gflops=[[1, 2]] * 3, seconds=0.1)
    np.testing.assert_array_equal(more.values[..., :3], measures.values[..., :3])
    np.testing.assert_allclose(more.relative_cost - measures.relative_cost, 0.5)
    np.testing.assert_allclose(more.gflops - measures.gflops, [[1, 2]] * 3)
    np.testing.assert_allclose(more.seconds - measures.seconds, 0.1)


def test_what_is_not_known_stays_so_and_touches_nothing_else():
    mean = Measures.of([1, 1], [1, 2], [2, 1], [0.5, 1], [np.nan, 1], [1, 2]).mean()
    assert np.isnan(mean.gflops)
    assert float(mean.hmean) == pytest.approx(2 / 3)
    assert (float(mean.relative_cost), float(mean.seconds)) == (0.75, 1.5)


@pytest.mark.parametrize("shape", [(), (5,), (6, 7)])
def test_other_arrays_are_refused(shape):
    with pytest.raises(DataError, match=r"measures need matched, predicted, .*found shape"):
        Measures(np.zeros(shape))


def test_an_estimate_is_a_bootstrap_of_mean_measures():
    rng = np.random.default_rng(0)
    values, resamples = rng.integers(0, 9, (40, 6)).astype(float), resample(40, 100)
    found = estimate(lambda means: means.seconds / means.true, Measures(values), resamples=resamples)
    assert found == bootstrap(lambda means: means[:, 5] / means[:, 2], values, resamples=resamples)
