"""A spotter of this project that was exported, as an engine: one pass at the size that it is given."""

from pathlib import Path

import numpy as np

from dld_spotter.core.errors import ConfigError
from dld_spotter.data.photos import ReferenceSize
from dld_spotter.inference.engines.engine import Engine, Line
from dld_spotter.inference.engines.ppocr import absent
from dld_spotter.inference.onnx_backend import onnx_predictor


class Exported(Engine):
    """The graphs that ``python -m dld_spotter.export`` left, on ONNX Runtime. It returns words.

    What was exported beside them, a selector or operating points, is not asked: a policy of sizes takes their place.

    Args:
        folder: of the export.
        threads: how many it may use; None for as many as PyTorch uses for a spotter.

    Raises:
        ConfigError: no folder is given.
        CheckpointError: a file is missing, damaged, or of another format.
    """

    name = "exported"

    def __init__(self, folder: str | Path | None, threads: int | None = None) -> None:
        super().__init__(threads)
        if folder is None:
            raise ConfigError("engine=exported needs engine.folder=FOLDER, which export has written")
        self.predictor = onnx_predictor(folder, ReferenceSize(), self.threads)

    @classmethod
    def missing(cls) -> str | None:
        """See :meth:`Engine.missing`."""
        return absent(("onnxruntime",), 'pip install "dld-spotter[export]"')

    def version(self) -> str:
        """Fingerprint of the graphs."""
        return self.predictor.backend.identity()[0]

    def settings(self) -> dict[str, str | int | float | bool]:
        """See :meth:`Engine.settings`; the fingerprint says it all."""
        return {}

    def read(self, image: np.ndarray) -> list[Line]:
        """See :meth:`Engine.read`."""
        return [Line(word.polygon, word.text, word.score) for word in self.predictor.read(image, scale=1.0).words]
