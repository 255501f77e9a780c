"""The recipes of ``docs/recipes.md`` run as they stand."""

import json
import re
import shutil
import urllib.error
import urllib.request
from http.server import HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from PIL import Image

from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.export import write
from dld_spotter.inference.checkpoint import load_checkpoint, locate
from dld_spotter.inference.loading import load

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text("utf-8")
RECIPES = {
    title: "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    for title, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
}
PLAIN = sorted(set(RECIPES) - {"A service", "Without torch"})


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with what the page promises, which becomes the current one."""
    renderer = SceneRenderer(77, SceneLayout(256, 256, probabilities={"medium": 1}))
    (tmp_path / "photos").mkdir()
    for name, index in (("photo.jpg", 0), ("photos/a.jpg", 1), ("photos/b.jpg", 2)):
        Image.fromarray(renderer.render(index).image).save(tmp_path / name, quality=95)
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    mine = tmp_path / "outputs" / "mine" / "checkpoints"
    mine.mkdir(parents=True)
    shutil.copy(locate("bundled"), mine / "best.ckpt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_ten():
    assert len(RECIPES) == 10
    assert all(RECIPES.values())


@pytest.mark.parametrize("title", PLAIN)
def test_runs(desk, capsys, title):
    exec(compile(RECIPES[title], title, "exec"), {"__name__": "recipe"})
    assert capsys.readouterr().out or list((desk / "crops").iterdir())


def test_service_answers(desk):
    started = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HTTPServer, "serve_forever", lambda server: started.append(server))
        exec(compile(RECIPES["A service"].replace("8000", "0"), "service", "exec"), {"__name__": "recipe"})
    (server,) = started
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    with urllib.request.urlopen(address, (desk / "photo.jpg").read_bytes(), timeout=60) as answer:
        reading = json.load(answer)
    assert [word["text"] for word in reading["words"]] == [word.text for word in load().read(desk / "photo.jpg").words]
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(address, b"no image", timeout=60)
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_without_torch(desk, capsys):
    write(load_checkpoint("bundled"), load(device="cpu"), desk / "exported")
    exec(compile(RECIPES["Without torch"], "onnx", "exec"), {"__name__": "recipe"})
    assert capsys.readouterr().out.startswith("[")
