"""How fast predictions are scored: 500 images of ICDAR2015, the generic lexicon, and the whole command.

python experiments/benchmarks/scoring.py --data FOLDER

The 250 validation images stand twice, under other numbers; predictions are the true words, moved, misread, doubled and
lost by a fixed seed. The plain double loop counts the same words by the same rules with shapely, pair by pair. Seconds are
of the processor, so that others on the machine do not count; of the whole command they are those of the clock.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import shapely

from dld_spotter.core.instances import TextInstances
from dld_spotter.core.words import Word
from dld_spotter.metrics.formats import read_annotations
from dld_spotter.metrics.lexicons import Lexicon
from dld_spotter.metrics.matching import ImageCounts, match_images
from dld_spotter.metrics.protocols import find_protocol
from dld_spotter.score import ScoreConfig, score

COPIES = 2
WORDS = 2000
LETTERS = list("abcdefghijklmnopqrstuvwxyz")


def write_archives(data: Path, folder: Path, seed: int) -> tuple[Path, Path]:
    """Write the ground truth of ``data/val/gts``, each image twice, and predictions made of it."""
    rng = np.random.default_rng(seed)
    files = sorted((data / "val" / "gts").glob("gt_img_*.txt"))
    truth, predictions = folder / "gt.zip", folder / "preds.zip"
    with zipfile.ZipFile(truth, "w") as gt, zipfile.ZipFile(predictions, "w") as preds:
        for number in range(COPIES * len(files)):
            content = files[number % len(files)].read_text("utf-8-sig")
            gt.writestr(f"gt_img_{number + 1}.txt", content)
            preds.writestr(f"res_img_{number + 1}.txt", perturb(content.splitlines(), rng))
    return truth, predictions


def perturb(lines: list[str], rng: np.random.Generator) -> str:
    """Lose a tenth of the words, move all by some pixels, misread one letter of a fifth, find a tenth twice."""
    result = []
    for line in lines:
        *corners, text = line.split(",", 8)
        moved = np.array(corners, int) + np.tile(rng.integers(-3, 4, 2), 4) + rng.integers(-1, 2, 8)
        if len(text) > 1 and rng.random() < 0.2:
            place = int(rng.integers(len(text)))
            text = text[:place] + str(rng.choice(LETTERS)) + text[place + 1 :]
        result += [",".join(map(str, moved)) + "," + text] * int(rng.choice([0, 1, 2], p=[0.1, 0.8, 0.1]))
    return "\n".join(result)


def count_plainly(truth: TextInstances, words: list[Word]) -> ImageCounts:
    """Protocol ``rrc``, end to end, IoU 0.5, as two loops over polygons."""
    same_text = find_protocol("rrc").same_text
    shapes = [shapely.Polygon(polygon) for polygon in truth.polygons]
    boxes = [shapely.Polygon(word.polygon) for word in words]
    shapes, boxes = ([s if s.is_valid else s.buffer(0) for s in each] for each in (shapes, boxes))
    dropped, ious = set(), np.zeros((len(shapes), len(boxes)))
    for g, shape in enumerate(shapes):
        for d, box in enumerate(boxes):
            overlap = shape.intersection(box).area
            ious[g, d] = overlap / shape.union(box).area
            if truth.ignore[g] and overlap > 0.5 * box.area:
                dropped.add(d)
    taken, matched = set(dropped), 0
    for g in np.flatnonzero(~truth.ignore).tolist():
        free = [d for d in range(len(boxes)) if d not in taken and ious[g, d] > 0.5]
        if free:
            taken.add(free[0])
            matched += same_text(truth.transcriptions[g], words[free[0]].text, "end_to_end")
    return ImageCounts(matched, len(boxes) - len(dropped), int((~truth.ignore).sum()))


def fastest(*actions: Callable[[], object], repeats: int, clock: Callable[[], float] = time.process_time) -> list[float]:
    """Seconds of the fastest of several runs of each action, taken in turn."""
    seconds = []
    for _ in range(repeats):
        for action in actions:
            start = clock()
            action()
            seconds.append(clock() - start)
    return [min(seconds[i :: len(actions)]) for i in range(len(actions))]


def look_up(data: Path, words: int, seed: int) -> int:
    """Read the generic lexicon and correct random words of 3 to 12 letters with it; returns its length."""
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice(LETTERS, rng.integers(3, 13))) for _ in range(words)]
    lexicon = Lexicon.read(data / "lexicons" / "GenericVocabulary.txt")
    lexicon.shared.nearest(texts)
    return len(lexicon.shared.words)


def main() -> int:
    """Print one line per measurement; returns 1 where a bound is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with val/gts and lexicons/GenericVocabulary.txt")
    parser.add_argument("--repeats", type=int, default=5, help="runs, of which the fastest counts (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the predictions (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        gt, preds = write_archives(options.data, Path(folder), options.seed)
        truth, predictions = read_annotations(gt, truth=True), read_annotations(preds)
        truths = [truth.truth(image) for image in truth.images]
        words = [predictions.images[image] for image in truth.images]
        if [match.counts for match in match_images(truths, words)] != list(map(count_plainly, truths, words)):
            sys.exit("error: the double loop counts other words, so the comparison means nothing")
        result = score(ScoreConfig(str(gt), str(preds)))
        ours, plain, whole, lexicon = fastest(
            lambda: match_images(truths, words, exact=False),
            lambda: list(map(count_plainly, truths, words)),
            lambda: score(ScoreConfig(str(gt), str(preds))),
            lambda: look_up(options.data, WORDS, options.seed),
            repeats=options.repeats,
        )
        command = [sys.executable, "-m", "dld_spotter.score", f"gt={gt}", f"preds={preds}"]
        run = partial(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)
        (process,) = fastest(run, repeats=options.repeats, clock=time.perf_counter)
        size = look_up(options.data, 1, options.seed)
    print(f"{result['images']} images, {result['true']} words, {result['predicted']} predictions, Hmean {result['hmean']:.4f}")
    rows = [
        ("read, matched, resampled", f"{whole:.3f} s", "< 0.5 s", whole < 0.5),
        ("matched alone", f"{ours:.3f} s", "", True),
        ("plain double loop", f"{plain:.3f} s, {plain / ours:.1f} times as long", ">= 3 times", plain >= 3 * ours),
        ("whole command", f"{process:.2f} s", "< 4 s", process < 4),
        (f"{WORDS} words in a lexicon of {size}", f"{lexicon:.2f} s", "< 5 s", lexicon < 5),
    ]
    for what, found, bound, kept in rows:
        print(f"{what:36} {found:32} {bound:12} {'' if kept else 'NOT KEPT'}".rstrip())
    return 0 if all(kept for *_, kept in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
