"""Puts what choose.py has chosen into a checkpoint.

    python experiments/29_recogniser_on_own_regions/to_checkpoint.py CKPT OUT.ckpt --recognizer OUTPUT/end.pt --share 0.5
        [--threshold 0.3] [--shrink 0.5] [--margin 0.06] [--min-score 0.55]
    python experiments/29_recogniser_on_own_regions/to_checkpoint.py CKPT OUT.ckpt --recognizer OUTPUT/end.pt --expansion 1.0
    python experiments/29_recogniser_on_own_regions/to_checkpoint.py CKPT OUT.ckpt --recognizer OUTPUT/end.pt --halve-width
    python experiments/29_recogniser_on_own_regions/to_checkpoint.py CKPT OUT.ckpt --detector DETECTOR/last.pt
    python experiments/29_recogniser_on_own_regions/to_checkpoint.py CKPT OUT.ckpt --spaces [--join-above 0.05]

CKPT is a spotter of PP-OCR's family, which keeps what is not given. A narrow recogniser takes the place of its own, and so does
one of half the width (experiments/35_half_width_crops) or a detector that experiments/27_ppocr_words/train_detector.py trained.
With --spaces the recogniser writes spaces again, which PP-OCR's last layer knows of, and words are told apart by them.
Operating points were fitted to other weights and do not come along.
"""

import argparse
from pathlib import Path

import torch
from train import mixed

from dld_spotter.core.charset import PRINTABLE_ASCII, SPECIAL, Charset
from dld_spotter.inference.checkpoint import load_checkpoint, save_checkpoint
from dld_spotter.models.detector import TextMapDecoder
from dld_spotter.models.ppocr.reading import PPOCRWordRecognizer
from dld_spotter.models.ppocr.weights import recognizer_state

ASCII = " " + PRINTABLE_ASCII
"""As conf/charset/ascii.yaml has it."""


def with_spaces(recognizer: PPOCRWordRecognizer, characters: str) -> PPOCRWordRecognizer:
    """The same recogniser, which writes spaces as PP-OCR does; ``characters`` are those that it writes now."""
    charset, before = Charset(ASCII), Charset(characters)
    state, known = recognizer_state(charset), recognizer.network.state_dict()
    for name in ("output.weight", "output.bias"):
        rows = state[name]
        rows[:SPECIAL] = known[name][:SPECIAL]
        rows[charset.classes(characters)] = known[name][before.classes(characters)]
        known[name] = rows
    widened = PPOCRWordRecognizer(charset, margin=recognizer.margin)
    widened.network.load_state_dict(known)
    return widened


def main() -> None:
    """Convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ckpt")
    parser.add_argument("out", type=Path)
    parser.add_argument("--detector", type=Path, help="what train_detector.py wrote")
    parser.add_argument("--recognizer", type=Path, help="end.pt of train.py")
    parser.add_argument("--share", type=float, default=1.0, help="of the trained recogniser, 0 to 1")
    parser.add_argument("--expansion", type=float, help="with which train.py has narrowed it")
    parser.add_argument("--halve-width", action="store_true", help="the recogniser sees crops of half the width")
    parser.add_argument("--counted-width", type=int, help="columns of a crop on average, which FLOPs are counted for")
    parser.add_argument("--width-ratio", type=float, help="of a crop's width to that which keeps the word's proportions")
    parser.add_argument("--threshold", type=float, help="of the text map")
    parser.add_argument("--join-above", type=float, help="probability between regions of one line that are one")
    parser.add_argument("--shrink", type=float, help="ratio by which regions are grown back")
    parser.add_argument("--margin", type=float, help="how far crops reach beyond words, of their height")
    parser.add_argument("--spaces", action="store_true", help="tell words apart at spaces")
    parser.add_argument("--min-score", type=float, help="below which words are dropped")
    arguments = parser.parse_args()
    content = load_checkpoint(arguments.ckpt)
    config, spotter = content.config("student"), content.spotter()
    if arguments.detector:
        spotter.detector.load_state_dict(torch.load(arguments.detector, weights_only=True)["average"])
    names = ("expansion", "margin", "counted_width", "width_ratio")
    shape = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    config["recognizer"] = config["recognizer"] | shape | ({"halve_width": True} if arguments.halve_width else {})
    end = torch.load(arguments.recognizer, weights_only=True)["average"] if arguments.recognizer else None
    if end and arguments.expansion:
        spotter.recognizer = PPOCRWordRecognizer(spotter.charset, expansion=arguments.expansion)
        spotter.recognizer.load_state_dict(end)
    elif end:
        spotter.recognizer.load_state_dict(mixed(spotter.recognizer.state_dict(), end, arguments.share))
    if arguments.spaces:
        spotter.charset = Charset(ASCII)
        spotter.recognizer = with_spaces(spotter.recognizer, config["charset"]["characters"])
        config["charset"] = config["recognizer"]["charset"] = config["charset"] | {"characters": ASCII}
        config["split_at_spaces"] = True
    config["postprocess"]["max_words"] = TextMapDecoder.max_words
    chosen = {name: getattr(arguments, name) for name in ("threshold", "join_above", "shrink")}
    config["postprocess"] |= {name: value for name, value in chosen.items() if value is not None}
    config |= {} if arguments.min_score is None else {"min_score": arguments.min_score}
    facts = {key: content.provenance[key] for key in ("format", "scales", "thumbnail")} | {"model": {"student": config}}
    save_checkpoint(arguments.out, {"student": spotter}, facts)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
