"""Print what run.sh measured as the tables of README.md.

    python experiments/17_second_pass/tables.py OUT ICDAR2015_GTS LEXICONS

OUT is the folder that run.sh wrote, ICDAR2015_GTS holds the annotations of the photos, LEXICONS the lists of the competition:
``GenericVocabulary.txt``, ``ch4_test_vocabulary.txt`` and the folder ``strong``. Of what is not in OUT there is no table.

The files beside this script are from such a folder: ``tradeoff_NAME.json`` was ``OUT/NAME/tradeoff.json``, and so on. Copied
back, each folder with an empty file ``DONE``, they give all tables but that of the budgets. It needs the predictions, and these
are not kept.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from dld_spotter.evaluation.scoring import ScoreConfig, score

SETS = {"icdar2015": "ICDAR2015", "scenes_val": "scenes", "rendered": "our scenes", "sroie": "SROIE"}
BUDGETS = ("1.0", "0.5", "0.3", "0.15")
LEXICONS = ("GenericVocabulary.txt", "ch4_test_vocabulary.txt", "strong")


def read(path: Path) -> Any:
    """What a command left as JSON."""
    return json.loads(path.read_text("utf-8"))


def shown(found: dict[str, Any]) -> str:
    """Hmean with its interval, %."""
    low, high = found["hmean_interval"]
    return f"{100 * found['hmean']:.1f} ({100 * low:.1f}-{100 * high:.1f})"


def row(cells: list[Any]) -> None:
    """A line of a table."""
    print(f"| {' | '.join(map(str, cells))} |")


def head(cells: list[Any]) -> None:
    """The first two lines of a table."""
    row(cells)
    print(f"|{'---|' * len(cells)}")


def fixed(folder: Path, label: str) -> None:
    """Fixed scales of a data set: Hmean, relative cost and milliseconds."""
    facts = read(folder / "tradeoff.json")
    points = [point for point in facts["points"] if (point["method"], point["model"]) == ("static", "student")]
    points.sort(key=lambda point: point["scale"])
    print(f"\n{label}: {facts['images']} images, {facts['spotter']}, commit {facts['commit']}")
    head(["scale", *(f"{point['scale']:g}" for point in points)])
    row(["Hmean", *(f"{100 * point['hmean']:.1f}" for point in points[:-1]), shown(points[-1])])
    row(["relative cost", *(f"{point['relative_cost']:.2f}" for point in points)])
    row(["milliseconds", *(f"{1000 * point['seconds']:.0f}" for point in points)])


def operating_points(folder: Path, label: str) -> None:
    """The operating points beside the random policy and the oracle."""
    points = {point["gamma"]: point for point in read(folder / "tradeoff.json")["points"] if point["method"] == "dynamic"}
    for compared in sorted(read(folder / "comparison.json"), key=lambda one: -one["gamma"]):
        point = points[compared["gamma"]]
        over = "{:+.1f} ({:+.1f}..{:+.1f})".format(*(100 * value for value in compared["over_mix"]))
        share = compared["gap_closed"]
        gap = "{:.0f} % ({:.0f}..{:.0f})".format(*(100 * value for value in share)) if share[0] is not None else "no gap"
        cost = [f"{compared['gamma']:g}", f"{point['relative_cost']:.3f}", f"{1000 * point['seconds']:.0f}"]
        row([label, *cost, f"{100 * point['hmean']:.1f}", over, gap])


def on_average(folder: Path, label: str, low: float = 0.15, high: float = 0.6) -> None:
    """What the operating points win over the random policy between two relative costs, as a share of what the oracle wins.

    Ratio of the areas between the curves, each interpolated in cost; only where the operating points reach so far down.
    """
    points = read(folder / "tradeoff.json")["points"]
    curves = {
        method: np.array(sorted((p["relative_cost"], p["hmean"]) for p in points if p["method"] == method)).T
        for method in ("dynamic", "random_mix", "oracle")
    }
    least, most = curves["dynamic"][0][[0, -1]]
    if least < high < most:
        costs = np.linspace(max(low, least), high, 1000)
        dynamic, drawn, oracle = (np.interp(costs, *curve).mean() for curve in curves.values())
        print(f"{label}: {(dynamic - drawn) / (oracle - drawn):.0%} of the gap between {costs[0]:.2f} and {high:g} together")


def oracle_bias(folder: Path, label: str) -> None:
    """How much of what the oracle gains over the random policy is selection bias, see ``measure jitter=``."""
    for found in read(folder / "oracle_bias.json")["student"]:
        gained = "{:+.1f} ({:+.1f}..{:+.1f})".format(*(100 * value for value in found["bias"]))
        share = "" if found["share"] is None else f"{100 * found['share']:.0f} %"
        row([label, f"{found['budget']:.3f}", f"{100 * found['hmean']:.1f}", gained, share])


def budget(folder: Path, label: str, truth: str, lexicons: Path) -> None:
    """One budget: requested, spent, and every task and lexicon."""
    facts = read(folder / "evaluation.json")
    config = {"gt": truth, "preds": str(folder / "predictions.zip")}
    cells = [shown(score(ScoreConfig(**config, task="detection"))), shown(facts)]
    cells += [shown(score(ScoreConfig(**config, lexicon=str(lexicons / name)))) for name in LEXICONS]
    row([label, f"{facts['relative_cost']:.4f}", f"{facts['gflops']:.1f}", f"{1000 * facts['seconds']:.0f}", *cells])


def main(out: Path, truth: str, lexicons: Path) -> None:
    """Print all that is there."""
    measured = {name: label for name, label in SETS.items() if (out / name / "tradeoff.json").exists()}
    for name, label in measured.items():
        fixed(out / name, label)
    print()
    head(["images", "gamma", "cost", "ms", "Hmean", "over the random policy", "gap closed"])
    for name, label in measured.items():
        operating_points(out / name, label)
    print()
    for name, label in measured.items():
        on_average(out / name, label)
    print()
    head(["images", "budget", "oracle", "bias", "of its gain"])
    for name, label in measured.items():
        if (out / name / "oracle_bias.json").exists():
            oracle_bias(out / name, label)
    print()
    head(["budget", "spent", "GFLOP", "ms", "detection", "end to end", "generic", "weak", "strong"])
    for name in (*(f"budget_{amount}" for amount in BUDGETS), "none_1.0", "none_0.5"):
        if (out / name / "DONE").exists():
            budget(out / name, name, truth, lexicons)
    if (out / "ms_100" / "DONE").exists():
        facts = read(out / "ms_100" / "evaluation.json")
        print(f"\nbudget_ms=100: {facts['spent']['budget_ms']:.1f} ms spent, {shown(facts)} at {facts['relative_cost']:.3f}")
    if (out / "limit" / "DONE").exists():
        lines = (out / "limit" / "predictions.jsonl").read_text("utf-8").splitlines()
        costs = [json.loads(line)["relative_cost"] for line in lines]
        kept = "kept" if max(costs) <= 0.6 else "BROKEN"
        print(
            f"\nmax_cost=0.6: {kept}, {max(costs):.6f} at most, {sum(costs) / len(costs):.4f} on average of {len(costs)} photos"
        )
    for name in ("rapidocr_v4", "tesseract"):
        if (out / name / "DONE").exists():
            (point,) = read(out / name / "tradeoff.json")["points"]
            print(f"\n{name}: {shown(point)}, {1000 * point['seconds']:.0f} ms")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
