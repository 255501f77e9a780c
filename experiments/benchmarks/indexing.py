"""How long does it take to index a data set of the size of SynthText, and what does the index hold in memory (Linux)?

python experiments/benchmarks/indexing.py
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.progress import track
from scipy.io import savemat

from dld_spotter.core.batches import TextInstances
from dld_spotter.data.readers.jsonl import to_line

SYNTHTEXT = 858_750
"""Images of SynthText."""
MEASURE = r"""
import json, re, sys, time
from pathlib import Path
from dld_spotter.data.readers.{module} import {name}
from dld_spotter.data.splits import NamedPart, refuse_overlap
def peak():  # the peak of getrusage is handed down by the parent
    return 1024 * int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1])
before, start = peak(), time.process_time()
shares = dict(train=0.98, validation=0.01, test=0.01)
parts = {{part: NamedPart({name}(sys.argv[1]), shares, part) for part in shares}}
refuse_overlap(**parts)
print(json.dumps([time.process_time() - start, peak() - before]))
"""


def main() -> None:
    """Write annotations as long as SynthText's are, index them in fresh processes, print what all of SynthText would take."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=SYNTHTEXT // 10, help="images to index (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of their words (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), options.images, options.seed)
        factor = SYNTHTEXT / options.images
        print(f"{options.images} images; times {factor:.3g}, as many as SynthText has:")
        for module, name, source in (("synthtext", "SynthText", "."), ("jsonl", "JsonLines", "words.jsonl")):
            command = [sys.executable, "-c", MEASURE.format(module=module, name=name), str(Path(folder, source))]
            seconds, memory = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            print(f"{module:10} {factor * seconds:6.1f} s of processor time, {factor * memory / 1e9:5.2f} GB")


def write(root: Path, images: int, seed: int) -> None:
    """Annotations in both forms, about 8.5 words an image; indexing opens no image, so these are empty files."""
    rng = np.random.default_rng(seed)
    for number in range(1, 201):
        (root / str(number)).mkdir()
    cells = {key: np.empty((1, images), object) for key in ("imnames", "wordBB", "txt")}
    with (root / "words.jsonl").open("w") as file:
        for place in track(range(images), "writing annotations", transient=True):
            name, count = f"{place % 200 + 1}/scene_{place}.jpg", int(rng.poisson(7.5)) + 1
            (root / name).touch()
            quads = rng.uniform(0, 600, (count, 4, 2)).astype(np.float32)
            words = ["".join(map(chr, row)) for row in rng.integers(97, 123, (count, 6))]
            cells["imnames"][0, place], cells["wordBB"][0, place] = np.array([name]), quads.transpose(2, 1, 0)
            cells["txt"][0, place] = np.array([" ".join(words[:3]), *words[3:]])
            file.write(to_line(name, 600, 450, TextInstances.of(quads, words)) + "\n")
    savemat(root / "gt.mat", cells)


if __name__ == "__main__":
    main()
