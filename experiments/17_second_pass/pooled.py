"""Several data sets as one: what does choosing bring where photos and documents come mixed?

    python experiments/17_second_pass/pooled.py FOLDER FOLDER...

takes what ``python -m dld_spotter.measure`` left in each folder and compares the dynamic student with fixed scales, the random
policy and the oracle of all images together, at equal mean cost. Nothing is read again.
"""

import sys
from pathlib import Path

import numpy as np
from rich.console import Console

from dld_spotter.tradeoff import Measures, Outcomes, compare, comparison_tables


def main(folders: list[Path], resamples: int = 1000) -> None:
    """Join the tables, compare, print."""
    tables = [Outcomes.load(folder / "outcomes_student.npz") for folder in folders]
    measures = Measures(np.concatenate([table.measures.values for table in tables]))
    names = tuple(f"{folder.name}/{name}" for folder, table in zip(folders, tables, strict=True) for name in table.names)
    pooled = Outcomes.of(names, tables[0].scales, measures)
    dynamic = [np.load(folder / "dynamic_student.npz", allow_pickle=False) for folder in folders]
    if any(table.scales != tables[0].scales for table in tables) or any(
        part["gammas"].tolist() != dynamic[0]["gammas"].tolist() for part in dynamic
    ):
        sys.exit("the folders were measured at different scales or cost weights; measure them with the same checkpoint")
    spent = {
        float(gamma): Measures(np.concatenate([part["totals"][k] for part in dynamic]))
        for k, gamma in enumerate(dynamic[0]["gammas"])
    }
    console = Console(width=120)
    console.print(f"{len(names)} images, Hmean (%) of fixed scales:")
    mean = measures.mean()
    for scale, height, cost in zip(pooled.scales, mean.hmean, mean.relative_cost, strict=True):
        console.print(f"  {scale:g}: {100 * height:.1f} at {cost:.3f}")
    console.print(*comparison_tables(compare(pooled, pooled, spent, resamples)))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main([Path(argument) for argument in sys.argv[1:]])
