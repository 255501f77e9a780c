"""Rendered scenes as a data set."""

from torch.utils.data import Dataset

from dld_spotter.core.batches import Sample
from dld_spotter.core.errors import ConfigError
from dld_spotter.data.synthetic.scene import SceneRenderer


class SyntheticScenes(Dataset[Sample]):
    """A run of rendered images.

    Args:
        renderer: what renders them.
        length: number of images; a large one makes the set practically endless, since nothing is kept.
        offset: index of the first image, so that one seed can serve disjoint sets.
        endless: also render the images behind the last, so that every pass of a training sees new ones.
    """

    def __init__(self, renderer: SceneRenderer, length: int, offset: int = 0, endless: bool = False) -> None:
        if length < 0 or offset < 0:
            raise ConfigError(f"length and offset of a synthetic set must be at least 0, found {length} and {offset}")
        self.renderer = renderer
        self.length = length
        self.offset = offset
        self.endless = endless

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if index < 0 or (index >= self.length and not self.endless):
            raise IndexError(f"index {index} lies outside a synthetic set of {self.length} images")
        return self.renderer.render(self.offset + index)
