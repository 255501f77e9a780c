"""What distillation is worth: the distilled student minus the control, image by image, at every scale that both were read at.

    python experiments/08_distillation_control/difference.py [DISTILLED.npz CONTROL.npz]

Two tables of outcomes on the same images, by default those of the distilled student and of the control of one commit.
"""

import sys
from pathlib import Path

from dld_spotter.core.bootstrap import resample
from dld_spotter.tradeoff import Outcomes, difference

HERE = Path(__file__).parent


def main(distilled: Path, control: Path) -> None:
    """Print a Markdown table of differences in points of Hmean, with 95 % paired bootstrap intervals over images."""
    ours, theirs = Outcomes.load(distilled), Outcomes.load(control)
    if ours.names != theirs.names:
        sys.exit(f"{distilled} and {control} are not of the same images; measure both on one data set")
    drawn = resample(len(ours.names), 2000)
    print("| scale | control | distilled | difference |\n|---|---|---|---|")
    for scale in sorted(set(ours.scales) & set(theirs.scales)):
        pair = tuple(table.measures[:, table.scales.index(scale)] for table in (ours, theirs))
        own, other = (100 * float(measures.mean().hmean) for measures in pair)
        change, low, high = (100 * value for value in difference(*pair, drawn))
        print(f"| {scale:g} | {other:.1f} | {own:.1f} | {change:+.1f} ({low:+.1f}..{high:+.1f}) |")


if __name__ == "__main__":
    if len(sys.argv) not in (1, 3):
        sys.exit(__doc__)
    paths = sys.argv[1:] or [HERE / "outcomes_distilled.npz", HERE / "outcomes_student.npz"]
    main(*map(Path, paths))
