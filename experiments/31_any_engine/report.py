"""Policies from the training readings, and what they read of the report images; nothing is read here, so it takes a minute.

    python experiments/31_any_engine/report.py OUT --data DATA --train FILE [FILE ...] --val FILE [FILE ...]

FILEs are what collect.py and again.py left. Seconds are those of the processor, one thread. OUT gets policy_*.json and
results.json, which tables of the README show.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import nnls
from tables import AS_IT_COMES, ONCE, REFERENCE, Key, Readings

from dld_spotter.budget.engine_latency import EngineLatency
from dld_spotter.budget.latency import Line
from dld_spotter.budget.requests import BudgetTracker
from dld_spotter.core.bootstrap import Estimate, resample
from dld_spotter.core.hmean import hmean
from dld_spotter.data.photos import scaled_size
from dld_spotter.inference.adaptive_engine import PATIENT
from dld_spotter.selection.sizes.fitting import explained, fit_policy
from dld_spotter.selection.sizes.outcomes import EngineOutcomes, Way
from dld_spotter.selection.sizes.policy import Expected, SizePolicy
from dld_spotter.tradeoff import Measures, Outcomes
from dld_spotter.tradeoff.allocation import oracle
from dld_spotter.tradeoff.measures import estimate
from dld_spotter.tradeoff.outcomes import spend
from dld_spotter.tradeoff.statistics import difference, versus_mix, versus_static

RAPIDOCR = "rapidocr 3.10.0 (min_score=0.8, own_size=False)"
OWN_SCORE = 0.5
"""RapidOCR's own threshold, which it has as it comes."""
SHARES = (0.4, 0.5, 0.6, 0.7, 0.8)
"""Budgets, of the mean seconds of the engine as it comes."""
SETS: Mapping[str, Callable[[Key], bool]] = {
    "a, photos": lambda key: key[0] == "icdar2015" and key[2] == 1,
    "b, receipts": lambda key: key[0] == "sroie" and key[2] == 1,
    "c, mix": lambda key: key[2] == 1,
    "d, mix, resized": lambda key: key[2] != 1,
}


def latency_of(outcomes: EngineOutcomes) -> EngineLatency:
    """Seconds of the processor by pixels and words: least squares over the readings in one pass."""
    rows, seconds = [], []
    for k, way in enumerate(outcomes.ways):
        if np.isfinite(way.gain_threshold):
            continue
        for i, (height, width) in enumerate(outcomes.sides.tolist()):
            size = scaled_size(height, width, way.point(height, width).scale)
            rows.append((1.0, np.prod(size) / 1e6, outcomes.words[i, k]))
            seconds.append(outcomes.seconds[i, k])
    weights = 1 / (0.1 + np.array(seconds))  # relative errors count, down to a tenth of a second
    found, _ = nnls(np.array(rows) * weights[:, None], np.array(seconds) * weights)
    return EngineLatency(*map(float, found))


def followed(policy: SizePolicy, table: EngineOutcomes, latency: EngineLatency, budget: float) -> np.ndarray:
    """Index ``(N,)`` of the way of each image of a stream in an order drawn at random; ``budget`` is in mean seconds."""
    cost, unit = latency.seconds, policy.unit(latency.seconds)
    tracker = BudgetTracker("budget_ms", 1000 * budget, policy.calibrate(cost), Line(0.0, unit), PATIENT)
    expected = Expected.of(policy.regression(table.features))
    index = np.zeros(len(table.names), int)
    for i in np.random.default_rng(0).permutation(len(index)).tolist():
        costs = policy.costs(*table.sides[i].tolist(), expected.words[i], expected.again[i], cost) / unit
        index[i] = int((expected.losses[i] + tracker.gamma(1.0) * costs).argmin())
        tracker.record(np.nan, np.nan, float(table.seconds[i, index[i]]))
    return index


def measures(table: EngineOutcomes, index: np.ndarray, full: float) -> Measures:
    """What was read of each image in the way at ``index``; cost is seconds over ``full``."""
    rows = np.arange(len(index))
    counts = [column[rows, index] for column in (table.matched, table.predicted, table.true)]
    seconds = table.seconds[rows, index]
    return Measures.of(*counts, seconds / full, np.nan, seconds)


def once(table: EngineOutcomes, full: float) -> Outcomes:
    """The ways of one pass as a table of a trade-off, whose cost is seconds over ``full``."""
    singles = [k for k, way in enumerate(table.ways) if np.isinf(way.gain_threshold)]
    rows = Measures.stack(measures(table, np.full(len(table.names), k), full) for k in singles)
    turned = Measures(np.moveaxis(rows.values, 0, 1))
    return Outcomes.of(tuple(table.names.tolist()), tuple(table.sizes[singles] / REFERENCE), turned)


def row(name: str, found: Measures, drawn: np.ndarray, kinds: np.ndarray, **more: Estimate) -> dict:
    """One line of a table; per cent, with 95 % intervals over images."""
    mean = found.mean()
    kind_means = [float(found[kinds == kind].sum().hmean) for kind in np.unique(kinds)]
    values = {"hmean": estimate(lambda means: means.hmean, found, resamples=drawn), **more}
    percent = {key: [round(100 * number, 1) for number in value] for key, value in values.items()}
    seconds = {"seconds": round(float(mean.seconds), 3), "of_default": round(float(mean.relative_cost), 3)}
    return {"method": name} | seconds | {"mean_of_kinds": round(100 * float(np.mean(kind_means)), 1)} | percent


def compare(
    table: EngineOutcomes,
    default: EngineOutcomes,
    stricter: EngineOutcomes,
    policies: Mapping[str, SizePolicy],
    latency: EngineLatency,
) -> list[dict]:
    """All methods on one set of images; ``stricter`` is the engine as it comes with the threshold of ``table``."""
    full = float(default.seconds.mean())
    drawn, kinds = resample(len(table.names)), np.array([name.partition("/")[0] for name in table.names])
    comes, fixed = measures(default, np.zeros(len(default.names), int), full), once(table, full)
    rows = [row("engine as it comes", comes, drawn, kinds)]
    surer = measures(stricter, np.zeros(len(default.names), int), full)
    rows.append(row("the same with our threshold", surer, drawn, kinds, over_default=difference(surer, comes, drawn)))
    for k, size in enumerate(table.sizes[: len(fixed.scales)].tolist()):
        static = fixed.measures[:, k]
        rows.append(row(f"{size} pixels", static, drawn, kinds, over_default=difference(static, comes, drawn)))
    for name, policy in policies.items():
        for share in SHARES:
            if share * full < float(table.seconds.min(1).mean()):
                continue
            own = measures(table, followed(policy, table, latency, share * full), full)
            more = {
                "over_default": difference(own, comes, drawn),
                "over_random": versus_mix(own, fixed, drawn),
                "over_static": versus_static(own, fixed, drawn),
            }
            rows.append(row(f"{name}, budget {share:g}", own, drawn, kinds, **more))
    for share in SHARES:
        if share >= float(fixed.relative_cost.min(1).mean()):
            rows.append(row(f"oracle {share:g}", spend(fixed, oracle(fixed, share)), drawn, kinds))
    return rows


def learn(
    out: Path, readings: Readings, ways: Sequence[Way], engine: str, min_score: float
) -> tuple[dict[str, SizePolicy], EngineLatency]:
    """Policies of one pass, and with a second one, learnt from training images."""
    single = readings.table(ONCE, engine, min_score)
    latency, policies = latency_of(single), {}
    print(f"{len(single.names)} training images; {latency}")
    tables = {"one pass": single}
    if len(ways) > len(ONCE):
        tables["with a second pass"] = readings.table(ways, engine, min_score)
    for name, table in tables.items():
        for alike in ("images", "words"):
            policy = fit_policy(table, REFERENCE, alike, latency)
            policies[f"{name}, {alike} alike"] = policy
            policy.save(out / f"policy_{name.replace(' ', '_')}_{alike}.json")
            print(name, alike, "squared error of losses left out, and of the mean:", explained(table, policy, alike))
    values = hmean(*(getattr(table, column).sum(0) for column in ("matched", "predicted", "true")))
    print("training images, all ways:", dict(zip(map(str, table.ways), (100 * values).round(1).tolist(), strict=True)))
    return policies, latency


def main() -> None:
    """Learn, choose, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--engine", default=RAPIDOCR, help="its fingerprint (default: %(default)s)")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--train", type=Path, nargs="+", required=True)
    parser.add_argument(
        "--val", type=Path, nargs="*", default=[], help="without it, policies are learnt and nothing is reported"
    )
    parser.add_argument("--min-score", type=float, default=0.8, help="chosen on training images (default: %(default)s)")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    train = Readings.of(asked.train, asked.data, "train")
    twice = sorted({way for known in train.rows.values() for way in known if np.isfinite(way.gain_threshold)})
    ways = (*ONCE, *twice)
    policies, latency = learn(asked.out, train, ways, asked.engine, asked.min_score)
    if not asked.val:
        return
    val, results = Readings.of(asked.val, asked.data, "val"), {}
    for name, belongs in SETS.items():
        keys = [key for key in val.complete((*ways, AS_IT_COMES)) if belongs(key)]
        table = val.table(ways, asked.engine, asked.min_score, keys)
        default, stricter = (val.table((AS_IT_COMES,), asked.engine, score, keys) for score in (OWN_SCORE, asked.min_score))
        results[name] = {"images": len(keys), "rows": compare(table, default, stricter, policies, latency)}
        print(f"\n{name}: {len(keys)} images")
        for line in results[name]["rows"]:
            print("  ".join(f"{key} {value}" for key, value in line.items()))
    (asked.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
