"""The viewer in a browser, and its command from start to Ctrl+C."""

import signal
import subprocess
import sys
import urllib.request
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from dld_spotter.budget.calibration import Calibration
from dld_spotter.demo import Server, Viewer
from dld_spotter.inference.loading import load
from tests.data.samples import box, sample
from tests.integration.browser import PATIENCE, chromium
from tests.trained import GAMMAS, make_checkpoint

pytestmark = pytest.mark.slow
IDLE = "!document.querySelector('.busy')"
OUTLINES = "return [...document.querySelectorAll('polygon')].map(p => p.getAttribute('points'))"
CELLS = "return [...document.querySelectorAll('#words td')].map(cell => cell.textContent)"
FIGURES = "return ['scale', 'cost', 'gflops', 'seconds'].map(id => document.getElementById(id).textContent)"
MOVE = """
const slider = document.getElementById('slider');
slider.value = arguments[0];
for (const kind of ['input', 'change']) slider.dispatchEvent(new Event(kind));
"""


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    predictor = load(make_checkpoint(tmp_path_factory.mktemp("demo") / "student.ckpt"), device="cpu")
    predictor.policy.calibration = Calibration(GAMMAS, (0.8, 0.5, 0.3), continuous=False, images=10)
    return predictor


@pytest.fixture(scope="module")
def page(predictor, tmp_path_factory):
    """A browser that shows the page of a server that runs meanwhile."""
    with Server(Viewer(predictor, "student.ckpt"), 0) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with chromium(tmp_path_factory.mktemp("profile")) as browser:
            browser.open(f"http://127.0.0.1:{server.server_port}/")
            yield browser
        server.shutdown()


def expect(page, reading):
    """The page shows a reading: figures, words, outlines within the photo."""
    scale, cost, gflops, seconds = page.run(FIGURES)
    assert float(scale) == reading.scale
    assert float(cost.removesuffix(" %")) == pytest.approx(100 * reading.relative_cost, rel=0.05)
    assert float(gflops) == pytest.approx(reading.gflops, rel=0.01)
    assert float(seconds) > 0
    cells = page.run(CELLS)
    assert cells[::2] == [word.text for word in reading.words]
    assert [float(cell) for cell in cells[1::2]] == pytest.approx([word.score for word in reading.words], abs=0.006)
    outlines = [np.array(points.replace(",", " ").split(), float).reshape(-1, 2) for points in page.run(OUTLINES)]
    assert len(outlines) == len(reading.words) > 0
    for outline, word in zip(outlines, reading.words, strict=True):
        np.testing.assert_allclose(outline, word.polygon, atol=0.06)


def test_a_visit(page, predictor, tmp_path):
    pixels = sample(360, 480, [box(30, 30, 200, 60), box(200, 220, 180, 50)], ["cat", "dog"]).image
    path, notes = tmp_path / "photo.png", tmp_path / "notes.txt"
    Image.fromarray(pixels).save(path)
    notes.write_text("no photo")

    page.wait("document.getElementById('about').textContent == 'student.ckpt'")
    assert page.run("const s = document.getElementById('slider'); return [s.min, s.max]") == ["0.3", "0.8"]
    assert "30.0 % to 80.0 %" in page.run("return document.getElementById('note').textContent")

    page.upload("#file", path)
    page.wait(f"document.querySelector('polygon') && {IDLE}")
    expect(page, predictor.read(pixels, gamma=0.1))
    frame, photo, svg = page.run(
        "return ['stage', 'photo'].map(id => document.getElementById(id)).concat(document.querySelector('svg'))"
        ".map(node => { const {x, y, width, height} = node.getBoundingClientRect(); return [x, y, width, height]; })"
    )
    assert photo == pytest.approx(svg, abs=1), "outlines lie over the photo"
    assert photo[2] / photo[3] == pytest.approx(480 / 360, rel=0.01)
    assert photo[2] > 600
    assert frame[2] >= photo[2]

    for number, (budget, gamma) in enumerate(((0.3, 0.3), (0.8, 0.05)), start=2):
        page.run(MOVE, budget)
        page.wait(f"document.querySelectorAll('#tried tbody tr').length == {number} && {IDLE}")
        expect(page, predictor.read(pixels, gamma=gamma))

    page.run("document.querySelector('[value=scale]').click()")
    page.wait(f"document.querySelectorAll('#tried tbody tr').length == 4 && {IDLE}")
    expect(page, predictor.read(pixels, scale=1.0))
    page.run(MOVE, 0.5)
    page.wait(f"document.querySelectorAll('#tried tbody tr').length == 5 && {IDLE}")
    expect(page, predictor.read(pixels, scale=0.5))

    colors = np.asarray(Image.open(page.screenshot(tmp_path / "page.png")).convert("RGB"))
    page.run("document.querySelectorAll('polygon, svg text').forEach(node => node.remove())")
    bare = np.asarray(Image.open(page.screenshot(tmp_path / "bare.png")).convert("RGB"))
    left, top, width, height = (round(side) for side in photo)
    changed = (colors != bare).any(2)
    assert changed[top : top + height, left : left + width].sum() > 200, "outlines and words are seen"

    page.upload("#file", notes)
    page.wait("!document.getElementById('error').hidden")
    assert "notes.txt is no image" in page.run("return document.getElementById('error').textContent")
    page.run("document.getElementById('example').click()")
    page.wait(f"document.getElementById('error').hidden && document.getElementById('photo').naturalWidth == 640 && {IDLE}")

    assert page.complaints() == []
    sources = page.run("return performance.getEntriesByType('resource').map(entry => entry.name)")
    origin = page.run("return location.origin")
    assert all(source.startswith((origin, f"blob:{origin}")) for source in sources)


@pytest.mark.parametrize("ignored", [False, True], ids=["terminal", "background"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_interrupted(tmp_path, number, ignored):
    checkpoint = make_checkpoint(tmp_path / "student.ckpt")
    command = [sys.executable, "-m", "dld_spotter.demo", "port=0", f"ckpt={checkpoint}", "device=cpu"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.SIG_DFL),  # as shells do
    )
    try:
        address = process.stdout.readline().split()[0]
        with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
            assert b"<title>dld_spotter</title>" in answer.read()
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["student.ckpt"]
