"""What the tests of models, losses and training share."""

import pytest

from dld_spotter.core.batches import SpottingBatch
from tests.data.samples import box, sample, turned_box
from tests.small import make_batch, make_spotter


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory):
    """Keep what tests measure and count out of the user's cache, and what lies there out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def spotter():
    """A very small spotter, in evaluation mode."""
    return make_spotter().eval()


@pytest.fixture
def batch() -> SpottingBatch:
    """Images of three sizes in three scales: two words, none, three words."""
    two = [box(8, 8, 40, 14), turned_box(60, 44, 40, 14, 10)]
    three = [box(4, 4, 50, 14), box(4, 30, 30, 16), box(4, 60, 44, 20)]
    return make_batch(
        [sample(64, 96, two, ["cat", "dog"], name="two"), sample(50, 70), sample(90, 64, three, ["a", "bed", "face"])]
    )
