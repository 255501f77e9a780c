"""What the two-stage spotter costs at the paper's test sizes, part by part, beside the figures that the paper gives.

    python experiments/36_two_stage_flops/count.py [--spotter two_stage_resnet50] [--long 1600] [--words 5] [--json FILE]

Counts are in the paper's G: multiply-adds over 2**30. Nothing is computed and no weights are needed: shapes alone are followed.
"""

import argparse
import json
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from dld_spotter.budget.cost import GIGA, FlopCost, pad_to
from dld_spotter.config.assembly import create
from dld_spotter.config.entry import ROOT

PUBLISHED = {
    ("ICDAR2013", 768): 142.9,
    ("ICDAR2013", 384): 35.8,
    ("ICDAR2015", 1280): 517.2,
    ("ICDAR2015", 640): 129.3,
    ("Total-Text", 896): 206.7,
    ("Total-Text", 448): 52.0,
}
"""Data set and short side -> G (arXiv 2207.06694, tables 1 to 3)."""
SIZES = {
    "ICDAR2015": "720x1280",
    "ICDAR2013": (
        "480x640*16 640x480*3 960x1280*8 1280x960*3 1200x1600 2592x3888 480x630 959x827 405x459 1278x591 958x1004 291x919 "
        "448x640 378x639 459x468 573x358 434x590 1009x679 1043x774 685x747 855x1279"
    ),
    "Total-Text": (
        "1280x1038 500x706 1280x719 1280x959 376x498 428x884 335x342 768x845 1008x567 757x1423 500x749 311x500 554x985 320x320 "
        "2592x1936 1064x1600 1200x1600 240x240 1449x1102 950x1500"
    ),
}
"""Data set -> height x width * how many: all of ICDAR2015, and samples of the data lists that the authors published."""
PER_PIXEL = ("Backbone", "FeaturePyramid", "RegionProposalHead")
"""What the paper's figures seem to hold."""
PARTS = (*PER_PIXEL, "WordFeatures", "BoxHead", "MaskHead", "MaskedRecognizer")


def resized(height: int, width: int, short: int, long: int) -> tuple[int, int]:
    """Height and width whose short side is ``short``, unless the long one would be longer than ``long``."""
    factor = min(short / min(height, width), long / max(height, width))
    return round(height * factor), round(width * factor)


def sizes_of(name: str) -> list[tuple[int, int]]:
    """Height and width of each image that stands for a data set."""
    found = []
    for one in SIZES[name].split():
        size, _, number = one.partition("*")
        height, width = map(int, size.split("x"))
        found += int(number or 1) * [(height, width)]
    return found


def count(cost: FlopCost, height: int, width: int, words: float) -> dict[str, float]:
    """G by part of one image with so many words; the keys are those of ``PARTS``."""
    found = dict.fromkeys(PARTS, 0.0)
    for name, gflop in cost.stages(height, width, words).items():
        found[name.partition(".")[0]] += gflop * GIGA / 2 / 2**30
    return found


def table(cost: FlopCost, long: int, words: float) -> list[dict[str, float | str]]:
    """One row for each published figure, means over the images' sizes."""
    rows: list[dict[str, float | str]] = []
    known: dict[tuple[int, int], dict[str, float]] = {}
    for (name, short), published in PUBLISHED.items():
        means = dict.fromkeys(PARTS, 0.0)
        sizes = sizes_of(name)
        for size in sizes:
            # A short side of 1280 makes these photos 2,276 pixels wide, which a limit of 1600 would not allow.
            height, width = resized(*size, short, long if name != "ICDAR2015" else 10**6)
            padded = pad_to(height, 32), pad_to(width, 32)
            if padded not in known:
                known[padded] = count(cost, *padded, words)
            for part, value in known[padded].items():
                means[part] += value / len(sizes)
        per_pixel = sum(means[part] for part in PER_PIXEL)
        rows.append(
            {"data": name, "short": short, "paper": published, "per_pixel": per_pixel, "all": sum(means.values())} | means
        )
    return rows


def main() -> None:
    """Count, print a table in Markdown, and write the figures where a file is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spotter", default="two_stage_resnet50")
    parser.add_argument("--long", type=int, default=1600, help="longest side in pixels, but for ICDAR2015")
    parser.add_argument("--words", type=float, default=5.0, help="words of an image")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [f"spotter@model.teacher={given.spotter}", "max_length=32"])
    with torch.device("meta"):
        spotter = create(OmegaConf.to_container(config.model.teacher, resolve=True))
    rows = table(FlopCost(spotter), given.long, given.words)
    print("| data | short side | paper | per pixel | difference | " + " | ".join(PARTS) + " | all |")
    print("|---" * (len(PARTS) + 6) + "|")
    for row in rows:
        difference = f"{100 * (row['per_pixel'] / row['paper'] - 1):+.1f} %"
        cells = [row["data"], row["short"], row["paper"], f"{row['per_pixel']:.1f}", difference]
        cells += [f"{row[part]:.1f}" for part in (*PARTS, "all")]
        print(f"| {' | '.join(map(str, cells))} |")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
