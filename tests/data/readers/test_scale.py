"""A data set of the size of SynthText, at 1 : 100: what its index holds, times 100. Its seconds: benchmarks/indexing.py."""

import json
import runpy
import subprocess
import sys

import pytest

from dld_spotter.config.entry import ROOT
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
    """The form of SynthText: about 8.5 words an image; those that are opened are images."""
    root = tmp_path_factory.mktemp("synthtext")
    runpy.run_path(str(ROOT / "experiments" / "benchmarks" / "indexing.py"))["write"](root, IMAGES, 0)
    names = [f"{number % 200 + 1}/scene_{number}.jpg" for number in range(IMAGES)]
    write_photos(root, names[:400] + names[:: IMAGES // 49])
    return root


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory")
@pytest.mark.parametrize(("module", "name", "source"), [("synthtext", "SynthText", "."), ("jsonl", "JsonLines", "words.jsonl")])
def test_800_000_images_are_indexed_and_the_first_of_them_read_within_two_gigabytes(tree, module, name, source):
    script = MEASURE.format(module=module, name=name, images=IMAGES * FACTOR)
    result = subprocess.run([sys.executable, "-c", script, tree / source], capture_output=True, text=True, check=True)
    memory, images, words = json.loads(result.stdout)
    assert images == IMAGES
    assert 1 <= min(words) <= max(words) < 30
    assert 0 < memory * FACTOR < 2e9
