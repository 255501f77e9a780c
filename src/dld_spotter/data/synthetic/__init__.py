"""The seeded renderer of synthetic scenes."""

from dld_spotter.data.synthetic.background import Backgrounds
from dld_spotter.data.synthetic.crops import CropSource
from dld_spotter.data.synthetic.dataset import SyntheticScenes
from dld_spotter.data.synthetic.degrade import Degradation
from dld_spotter.data.synthetic.fonts import FontBook
from dld_spotter.data.synthetic.layout import REGIMES, DenseLayout, MixedLayout, Regime, SceneLayout
from dld_spotter.data.synthetic.occlude import Occlusion
from dld_spotter.data.synthetic.paste import CropPaste
from dld_spotter.data.synthetic.scene import SceneRenderer
from dld_spotter.data.synthetic.words import WordSource

__all__ = [
    "REGIMES",
    "Backgrounds",
    "CropPaste",
    "CropSource",
    "Degradation",
    "DenseLayout",
    "FontBook",
    "MixedLayout",
    "Occlusion",
    "Regime",
    "SceneLayout",
    "SceneRenderer",
    "SyntheticScenes",
    "WordSource",
]
