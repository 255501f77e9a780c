"""A data set of the size of SynthText, at 1 : 100: what its index holds, times 100. Its seconds: benchmarks/indexing.py."""

import json
import subprocess
import sys

import numpy as np
import pytest
from scipy.io import savemat

from dld_spotter.data.readers.jsonl import to_line
from dld_spotter.structures import TextInstances
from tests.data.readers.trees import write_photos

IMAGES, FACTOR = 8_000, 100
MEASURE = r"""
import json, re, sys
from pathlib import Path
import torch
from dld_spotter.data.readers.{module} import {name}
from dld_spotter.data.splits import NamedPart, refuse_overlap
def peak():  # the peak of getrusage is handed down by the parent
    return 1024 * int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
shares = dict(train=0.98, validation=0.01, test=0.01)
parts = {{part: NamedPart({name}(sys.argv[1]), shares, part) for part in shares}}
refuse_overlap(**parts)
memory = peak() - before
order = torch.randperm({images}).tolist()  # of the whole set
words = [len(parts["train"][index % 300].instances) for index in order[:8]]
print(json.dumps([memory, sum(map(len, parts.values())), words]))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The form of SynthText: about 8.5 words an image."""
    root = tmp_path_factory.mktemp("synthtext")
    rng = np.random.default_rng(0)
    names = [f"{number % 200 + 1}/scene_{number}.jpg" for number in range(IMAGES)]
    counts = rng.poisson(7.5, IMAGES) + 1
    cells = {key: np.empty((1, IMAGES), object) for key in ("imnames", "wordBB", "txt")}
    with (root / "words.jsonl").open("w") as file:
        for place, (name, count) in enumerate(zip(names, counts, strict=True)):
            quads = rng.uniform(0, 600, (count, 4, 2)).astype(np.float32)
            words = ["".join(map(chr, row)) for row in rng.integers(97, 123, (count, 6))]
            cells["imnames"][0, place], cells["wordBB"][0, place] = np.array([name]), quads.transpose(2, 1, 0)
            cells["txt"][0, place] = np.array([" ".join(words[:3]), *words[3:]])
            file.write(to_line(name, 600, 450, TextInstances.of(quads, words)) + "\n")
    savemat(root / "gt.mat", cells)
    write_photos(root, names[:400] + names[:: IMAGES // 49])
    return root, int(counts.max())


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory")
@pytest.mark.parametrize(("module", "name", "source"), [("synthtext", "SynthText", "."), ("jsonl", "JsonLines", "words.jsonl")])
def test_800_000_images_are_indexed_and_the_first_of_them_read_within_two_gigabytes(tree, module, name, source):
    root, most = tree
    script = MEASURE.format(module=module, name=name, images=IMAGES * FACTOR)
    result = subprocess.run([sys.executable, "-c", script, root / source], capture_output=True, text=True, check=True)
    memory, images, words = json.loads(result.stdout)
    assert images == IMAGES
    assert 1 <= min(words) <= max(words) <= most
    assert 0 < memory * FACTOR < 2e9
