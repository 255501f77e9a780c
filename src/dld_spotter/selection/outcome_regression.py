"""How the selector that counts words learns: heights from thumbnails, and outcomes from reading some images at every scale."""

from typing import Any

import torch
from torch import Tensor

from dld_spotter.core.errors import ConfigError
from dld_spotter.metrics.rules import Rules
from dld_spotter.models.modes import evaluating
from dld_spotter.selection.heights import fit_table, heights, heights_loss, shown_heights
from dld_spotter.selection.memory import Memory
from dld_spotter.selection.objective import Evidence, SelectionObjective
from dld_spotter.selection.quality import QualitySelector

ENOUGH = 200
"""Images read at every scale from which a table can be fitted anew."""


class OutcomeRegression(SelectionObjective):
    """Teaches a :class:`QualitySelector` the heights of words, and what the student reads of each height at every scale.

    Heights cost nothing: those of the latest images are remembered, and each step learns from a larger batch of them. Outcomes
    cost a reading at every scale, but the table has few numbers: some images of each step are read, and the table is fitted
    to all outcomes remembered. The memories are part of ``last.ckpt`` alone: a run that goes on from another checkpoint fills
    them anew, keeping its table until they hold enough.

    Args:
        rules: how words are counted.
        images: images of a step that are read at every scale.
        capacity: images remembered.
        batch: images drawn from the memory per step.
    """

    name = "outcomes"

    def __init__(self, rules: Rules, images: int = 2, capacity: int = 4096, batch: int = 64) -> None:
        super().__init__()
        for name, value in (("images", images), ("batch", batch)):
            if value < 1:
                raise ConfigError(f"selection.{name} must be at least 1, found {value}; raise it")
        self.rules = rules
        self.images = images
        self.batch = batch
        self.seen = Memory(capacity)
        self.read = Memory(capacity)

    def forward(self, selector: QualitySelector, evidence: Evidence) -> dict[str, Tensor]:
        """Remember the batch; fit the table; the loss of the heights in some of the images remembered."""
        batch = evidence.batch
        self.seen.add(batch.thumbnails, shown_heights(batch, selector.edges))
        self.read.add(heights(batch, selector.edges)[: self.images], self.read_everywhere(selector.scales, evidence))
        histograms, outcomes = self.read.rows()
        if len(self.read) >= min(ENOUGH, int(selector.readings)):  # after a resume, what was known is better than a few images
            selector.words.copy_(outcomes[:, 0, 2].mean().clamp(min=1))
            selector.table.copy_(fit_table(selector.table, histograms, outcomes))
            selector.readings.fill_(len(self.read))
        return {"quality": heights_loss(selector.network, *self.seen.draw(self.batch))}

    def remembered(self) -> dict[str, Any]:
        """Both memories."""
        return {"seen": self.seen.state(), "read": self.read.state()}

    def remember(self, state: dict[str, Any], device: torch.device) -> None:
        """Take over both memories."""
        self.seen.load(state["seen"], device)
        self.read.load(state["read"], device)

    @torch.no_grad()
    def read_everywhere(self, scales: tuple[float, ...], evidence: Evidence) -> Tensor:
        """Matched, predicted and true words ``(images, K, 3)`` of the first images at every scale."""
        batch = evidence.batch
        first = torch.arange(min(self.images, len(batch)), device=batch.thumbnails.device)
        counts = []
        for scale in scales:
            with evaluating(evidence.student):
                found = evidence.student.spot(batch.view(scale).select(first))
            images = zip(batch.names, batch.instances, found, strict=False)
            counts.append([self.rules.count(name, truth, words) for name, truth, words in images])
        return torch.tensor(counts, dtype=torch.float32, device=batch.thumbnails.device).transpose(0, 1)
