"""Reading a folder that is killed in the middle, and goes on."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from tests.data.samples import box, sample
from tests.trained import make_checkpoint

pytestmark = pytest.mark.slow
PHOTOS = 60


def test_killed_and_started_again_reads_each_photo_once(tmp_path):
    folder, out = tmp_path / "photos", tmp_path / "words.jsonl"
    folder.mkdir()
    for number in range(PHOTOS):
        Image.fromarray(sample(300 + number, 400, [box(8, 8, 50, 20)], ["cat"]).image).save(folder / f"{number}.png")
    checkpoint = make_checkpoint(tmp_path / "student.ckpt")
    command = [sys.executable, "-m", "dld_spotter.predict", f"ckpt={checkpoint}", "device=cpu", f"input={folder}"]
    command += [f"out={out}", f"paths.output_dir={tmp_path / 'output'}"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while (not out.is_file() or out.stat().st_size < 2000) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was over before it could be killed"
    before = out.read_bytes()
    with out.open("ab") as file:  # the worst that a kill can leave: part of a line
        file.write(b'{"image": "')
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    after = out.read_bytes()
    assert after.startswith(before[: before.rindex(b"\n") + 1])
    names = [json.loads(line)["image"] for line in after.decode().splitlines()]
    assert sorted(names) == sorted(str(path) for path in folder.iterdir())
