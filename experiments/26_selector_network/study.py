"""What should a selector predict? Every candidate as the truth, and as a network learns it from the same thumbnails.

    python experiments/26_selector_network/study.py CHECKPOINT results.csv [--train 640] [--validation 320]

The student of a checkpoint with teacher and student (``best.ckpt`` of ``+experiments=07_resolution_tradeoff``) reads rendered
scenes at every scale; what it loses and what it reads is written down per image and scale. Each kind of prediction then chooses
scales at mean relative costs of 0.3, 0.4 and 0.5, and is held against the random policy and the oracle. No test scene takes
part.
"""

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from rich.progress import track
from torch import Tensor

from dld_spotter.budget.cost import FlopCost
from dld_spotter.config import assembly
from dld_spotter.config.entry import ROOT
from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.losses.recognition import sequence_cross_entropy
from dld_spotter.metrics.rules import Rules
from dld_spotter.selection.drs import DRSObjective, image_mean
from dld_spotter.selection.heights import fit_table, histogram
from dld_spotter.selection.objective import Evidence
from dld_spotter.selection.outcome_regression import OutcomeRegression
from dld_spotter.selection.quality import QualitySelector
from dld_spotter.selection.thumbnail_network import ThumbnailNetwork
from dld_spotter.tradeoff import Outcomes, oracle, random_mix, spend
from dld_spotter.tradeoff.allocation import chosen

BUDGETS = (0.3, 0.4, 0.5)
STEPS, BATCH, RATE = 500, 32, 4e-3
Table = dict[str, Tensor]


def measure(checkpoint: Path, seed: int, images: int) -> tuple[Table, tuple[float, ...]]:
    """Thumbnails, heights, losses, counts and costs of rendered scenes, and the scales."""
    content = load_checkpoint(checkpoint)
    teacher, student = content.build("teacher").eval(), content.build("student").eval()
    scales = tuple(content.provenance["scales"])
    options = [f"data.train.renderer.seed={seed}", f"data.train.length={images}", "data.train_collate.jitter=0"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [*options, "data.train_collate.max_words=null", f"scales={list(scales)}"])
    divergence, outcomes, flops = DRSObjective("kl"), OutcomeRegression(Rules(), images=8), FlopCost(student)
    edges, rows = QualitySelector(scales, 0.1, [1.0]).edges, []
    for batch in track(assembly.build_data(config).train_dataloader(), f"reading scenes of seed {seed}"):
        with torch.no_grad():
            given = teacher(batch.views[1.0], batch.boundaries, batch.image_index, batch.labels).recognition
            evidence = Evidence(student, batch, given, torch.empty(0), 1.0)
            logits, detection = divergence.read_everywhere(scales, evidence)
            counts = outcomes.read_everywhere(scales, evidence)
        images = len(batch)
        words = (
            [divergence.words(at.float(), given.logits, batch.labels) for at in logits],
            [sequence_cross_entropy(at.float(), batch.labels) for at in logits],
        )
        kl, entropy = (torch.stack([image_mean(w, batch.image_index, images) for w in kind], 1) for kind in words)
        sizes = batch.views[1.0].sizes
        heights = torch.stack([histogram(found, edges) for found in batch.instances])
        costs = flops.relative(sizes, scales)
        row = {"thumbnails": batch.thumbnails, "heights": heights, "kl": kl, "entropy": entropy}
        rows.append(row | {"detection": detection, "counts": counts, "costs": costs})
    return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}, scales


def learn(thumbnails: Tensor, outputs: int, loss: Callable[[Tensor, Tensor], Tensor], seed: int) -> ThumbnailNetwork:
    """Train a network on thumbnails; ``loss(output, index)`` judges its output for the images of ``index``."""
    torch.manual_seed(seed)
    network = ThumbnailNetwork(outputs, (16, 32, 64, 96), 128).train()
    optimizer = torch.optim.AdamW(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS, pct_start=0.1)
    for _ in track(range(STEPS), "learning"):
        index = torch.randint(len(thumbnails), (BATCH,))
        flipped = torch.rand(BATCH)[:, None, None, None] < 0.5
        seen = torch.where(flipped, thumbnails[index].flip(3), thumbnails[index])
        optimizer.zero_grad()
        loss(network(seen), index).backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def predictions(train: Table, validation: Table, scales: tuple[float, ...], seed: int) -> dict[str, Tensor]:
    """Expected losses ``(N, K)`` of the validation images by each learnt predictor."""
    kinds = len(scales)
    selector = QualitySelector(scales, 0.1, [1.0])
    table = fit_table(selector.table, train["heights"], train["counts"], iterations=500)
    selector.table.copy_(table)
    matched, predicted, _ = train["counts"].unbind(-1)
    target = torch.cat([matched, predicted - matched], dim=1)
    target_loss = (train["kl"] + train["detection"] + 0.05).log()
    seen = validation["thumbnails"]
    losses = learn(train["thumbnails"], kinds, lambda out, i: F.smooth_l1_loss(out, target_loss[i]), seed)
    counts = learn(train["thumbnails"], 2 * kinds, lambda out, i: F.poisson_nll_loss(out, target[i]), seed)
    heights = learn(
        train["thumbnails"], len(selector.edges) + 1, lambda out, i: F.poisson_nll_loss(out, train["heights"][i]), seed
    )
    with torch.no_grad():
        right, false = counts(seen).exp().split(kinds, dim=1)
        return {
            "losses (KL and detection)": losses(seen).exp(),
            "words right and false": loss_of(torch.stack([right, false], 1)),
            "heights and a table": loss_of(selector.outcomes(heights(seen).exp())),
        }


def truths(train: Table, validation: Table, scales: tuple[float, ...]) -> dict[str, Tensor]:
    """Losses ``(N, K)`` of the validation images if each kind of prediction were perfect."""
    selector = QualitySelector(scales, 0.1, [1.0])
    selector.table.copy_(fit_table(selector.table, train["heights"], train["counts"], iterations=500))
    matched, predicted, _ = validation["counts"].unbind(-1)
    return {
        "losses (KL and detection)": validation["kl"] + validation["detection"],
        "losses (cross-entropy and detection)": validation["entropy"] + validation["detection"],
        "words right and false": loss_of(torch.stack([matched, predicted - matched], 1)),
        "heights and a table": loss_of(selector.outcomes(validation["heights"])),
    }


def loss_of(outcomes: Tensor) -> Tensor:
    """Loss ``(N, K)`` of words ``(N, 2, K)`` read rightly and falsely."""
    return 0.5 * outcomes[:, 1] - outcomes[:, 0]


def judge(losses: Tensor, validation: Table, scales: tuple[float, ...], budget: float) -> tuple[float, float, float]:
    """Mean cost, points of Hmean over the random policy, share of the way to the oracle, at a cost of at most ``budget``."""
    costs, counts = validation["costs"].numpy(), validation["counts"].numpy()
    names = tuple(map(str, range(len(costs))))
    outcomes = Outcomes(names, scales, *np.moveaxis(counts, -1, 0), costs, costs, costs)
    for gamma in np.geomspace(1e-5, 1e3, 2000):
        index = (losses.numpy() + gamma * costs).argmin(1)
        spent = float(np.take_along_axis(costs, index[:, None], 1).mean())
        if spent <= budget:
            break
    own, mix, best = (
        float(spend(outcomes, way).mean().hmean)
        for way in (chosen(outcomes, index), random_mix(outcomes, spent), oracle(outcomes, spent))
    )
    return spent, 100 * (own - mix), (own - mix) / (best - mix)


def main() -> None:
    """Measure, predict, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=640)
    parser.add_argument("--validation", type=int, default=320)
    arguments = parser.parse_args()
    train, scales = measure(arguments.checkpoint, 5005, arguments.train)
    validation, _ = measure(arguments.checkpoint, 2002, arguments.validation)
    found = [("the truth", None, truths(train, validation, scales))]
    found += [("learnt", seed, predictions(train, validation, scales, seed)) for seed in (0, 1)]
    with arguments.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "seed", "predicted", "budget", "relative_cost", "over_random_mix", "gap_closed"])
        for source, seed, by_kind in found:
            for kind, losses in by_kind.items():
                for budget in BUDGETS:
                    cost, over, gap = judge(losses, validation, scales, budget)
                    writer.writerow([source, seed, kind, budget, f"{cost:.3f}", f"{over:.2f}", f"{gap:.3f}"])
    print(arguments.out.read_text())


if __name__ == "__main__":
    main()
