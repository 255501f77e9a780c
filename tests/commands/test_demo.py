"""The viewer as a program asks it; ``tests/integration/test_demo.py`` looks at it in a browser."""

import http.client
import io
import json
import socket
import sys
from threading import BoundedSemaphore, Thread
from time import sleep

import numpy as np
import pytest
from PIL import Image

from dld_spotter import demo
from dld_spotter.budget.calibration import Calibration
from dld_spotter.core.errors import ConfigError
from dld_spotter.demo import MOST_BYTES, Server, Viewer, decode, main
from dld_spotter.inference.loading import load
from dld_spotter.inference.output import to_json
from tests.data.samples import box, sample
from tests.trained import GAMMAS, make_checkpoint

COSTS = (0.8, 0.5, 0.3)


def encoded(pixels, kind="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


PIXELS = sample(96, 128, [box(8, 8, 50, 20)], ["cat"]).image
PHOTO = encoded(PIXELS)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    """One that knows what its cost weights spend."""
    predictor = load(make_checkpoint(tmp_path_factory.mktemp("demo") / "student.ckpt"), device="cpu")
    predictor.policy.calibration = Calibration(GAMMAS, COSTS, continuous=False, images=10)
    return predictor


@pytest.fixture(scope="module")
def server(predictor):
    with Server(Viewer(predictor, "student.ckpt"), 0) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def ask(server):
    """Send a request; returns status, type and content of the answer."""

    def send(path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=120)
        connection.request("POST" if body is not None else "GET", path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        kind = answer.headers["Content-Type"]
        return answer.status, kind, json.loads(content) if kind == "application/json" else content

    return send


def test_page_needs_nothing_from_elsewhere(ask):
    status, kind, page = ask("/")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert b"default-src 'none'" in page
    assert b"http" not in page.replace(b"http-equiv", b"").replace(b"http://www.w3.org/", b"")


def test_about_names_the_budgets_that_can_be_met(ask, predictor):
    assert ask("/about")[2] == {"checkpoint": "student.ckpt", "budgets": [0.3, 0.8], "most_bytes": MOST_BYTES}
    predictor.calibration.check(0.3)
    predictor.calibration.check(0.8)


@pytest.mark.parametrize(("budget", "gamma"), [(0.8, 0.05), (0.6, 0.1), (0.3, 0.3)])
def test_reads_within_a_budget_whatever_was_read_before(ask, predictor, budget, gamma):
    expected = to_json("a photo.png", predictor.read(PIXELS, gamma=gamma))
    for _ in range(2):
        status, _, found = ask(f"/read?name=a%20photo.png&budget={budget}", PHOTO)
        assert status == 200
        assert found.pop("seconds") > 0
        assert found == {key: value for key, value in expected.items() if key != "seconds"}


def test_reads_at_a_scale(ask, predictor):
    found = ask("/read?scale=0.5", PHOTO)[2]
    assert (found["image"], found["scale"]) == ("photo", 0.5)
    assert len(found["words"]) == len(predictor.read(PIXELS, scale=0.5).words)


def test_shows_what_is_read(ask):
    rows, columns = np.mgrid[:96, :128]
    pixels = np.stack([2 * rows, columns, 0 * rows], axis=2).astype(np.uint8)
    turned = Image.fromarray(np.rot90(pixels).copy())
    turned.getexif()[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    stream = io.BytesIO()
    turned.save(stream, "TIFF", exif=turned.getexif())
    status, kind, content = ask("/show?name=a.tif", stream.getvalue())
    shown = Image.open(io.BytesIO(content))
    assert (status, kind, shown.format, shown.size) == (200, "image/jpeg", "JPEG", (128, 96))
    assert np.abs(np.asarray(shown).astype(int) - pixels).mean() < 3


def test_large_photos_are_shown_smaller(ask):
    content = ask("/show", encoded(np.zeros((1000, 4000, 3), np.uint8)))[2]
    assert Image.open(io.BytesIO(content)).size == (1600, 400)


def test_examples_differ(ask):
    first, second = (ask(f"/example?number={number}")[2] for number in (0, 1))
    assert Image.open(io.BytesIO(first)).size == (640, 480)
    assert first != second


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/read?name=notes.txt", b"some notes", 400, "notes.txt is no image"),
        ("/show?name=notes.txt", b"some notes", 400, "notes.txt is no image"),
        ("/read", b"", 400, "photo is no image"),
        ("/read?name=half.png", PHOTO[: len(PHOTO) // 2], 400, "half.png cannot be read"),
        ("/read?budget=0.1", PHOTO, 400, "from 0.3 to 0.8"),
        ("/read?scale=0", PHOTO, 400, "scale=0 must be above 0"),
        ("/read?scale=large", PHOTO, 400, "scale=large must be a number"),
        ("/read?scale=0.5&gamma=0.1", PHOTO, 400, "exclude each other"),
        ("/elsewhere", None, 404, "nothing at /elsewhere"),
        ("/read", None, 404, "nothing at /read"),
    ],
)
def test_mistakes_are_told_in_a_sentence(ask, path, body, status, words):
    found, kind, content = ask(path, body)
    assert (found, kind) == (status, "application/json")
    assert words in content["error"]
    assert "object at 0x" not in content["error"]


def test_only_its_own_page_may_ask(ask, server):
    own = f"localhost:{server.server_port}"
    assert ask("/about", Host=own, Origin=f"http://{own}")[0] == 200
    assert ask("/about", Host=own, Origin="http://elsewhere.example")[0] == 403
    assert ask("/about", Host="elsewhere.example")[0] == 403
    assert server.server_address[0] == "127.0.0.1"


def test_too_large_a_photo_is_refused_unread(server):
    with socket.create_connection(server.server_address, timeout=120) as connection:
        head = f"POST /read HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\nContent-Length: {MOST_BYTES + 1}\r\n\r\n"
        connection.sendall(head.encode())
        assert b" 413 " in connection.recv(200)


def talk(server, content, patience=30):
    """Send bytes as they are; returns what is answered until the connection ends."""
    with socket.create_connection(server.server_address, timeout=patience) as connection:
        connection.sendall(content)
        answer = b""
        while part := connection.recv(4096):
            answer += part
        return answer


def head(server, *lines, request="POST /read HTTP/1.1"):
    return "\r\n".join([request, f"Host: 127.0.0.1:{server.server_port}", *lines, "", ""]).encode()


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Content-Length: " + "9" * 5000], 411),
        (["Content-Length: -1"], 411),
        (["Content-Length: \u0663"], 411),
        (["Content-Length: 1e3"], 411),
        (["Transfer-Encoding: chunked"], 411),
        ([f"Content-Length: {MOST_BYTES + 1}"], 413),
        (["Sec-Fetch-Site: cross-site"], 403),
        (["Origin: null"], 403),
        (["X: " + "y" * 70_000], 431),
        ([f"X{n}: y" for n in range(200)], 431),
    ],
    ids=[
        "5000 digits",
        "negative",
        "other digits",
        "a fraction",
        "chunks",
        "too large",
        "another site",
        "no origin",
        "long",
        "many",
    ],
)
def test_requests_that_no_page_of_ours_sends(server, lines, status):
    answer = talk(server, head(server, *lines).decode("utf-8").encode("latin-1", "replace"))
    assert answer.split(b" ", 2)[1] == str(status).encode()
    assert b"Traceback" not in answer


@pytest.mark.parametrize(
    "path", ["/example?number=" + "9" * 5000, "/example?number=-1", "/read?scale=nan", "/read?gamma=1e999"]
)
def test_numbers_of_any_length_are_answered(ask, path):
    body = None if path.startswith("/example") else PHOTO
    status, _, content = ask(path, body)
    assert status == (200 if body is None else 400)
    assert body is None or "must be a number" in content["error"]


def test_a_photo_that_breaks_off_is_told(server):
    with socket.create_connection(server.server_address, timeout=30) as connection:
        connection.sendall(head(server, "Content-Length: 1000") + b"half")
        connection.shutdown(socket.SHUT_WR)
        assert b"broke off after 4 of 1000 bytes" in connection.makefile("rb").read()


@pytest.mark.parametrize("drips", [False, True])
def test_slow_connections_are_ended(server, monkeypatch, drips):
    monkeypatch.setattr(demo.Handler, "timeout", 30 if drips else 0.2)
    monkeypatch.setattr(demo, "PATIENCE", 0.3 if drips else 60)
    with socket.create_connection(server.server_address, timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        ended = False
        for _ in range(200 if drips else 1):
            try:
                connection.sendall(b"y") if drips else None
                connection.settimeout(0.05 if drips else 30)
                ended = connection.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True
            if ended:
                break
        assert ended


def test_connections_are_bounded_and_come_back(server, monkeypatch, ask):
    monkeypatch.setattr(server, "connections", BoundedSemaphore(3))
    held = [socket.create_connection(server.server_address, timeout=30) for _ in range(3)]
    for connection in held:
        connection.sendall(b"GET /about")
    for _ in range(600):
        if not server.connections._value:
            break
        sleep(0.05)
    assert talk(server, b"").startswith(b"HTTP/1.0 503 ")
    for connection in held:
        connection.close()
    for _ in range(600):
        if server.connections._value == 3:
            break
        sleep(0.05)
    assert ask("/about")[0] == 200


def test_photos_on_their_way_are_bounded(server, monkeypatch, ask):
    monkeypatch.setattr(server, "photos", BoundedSemaphore(1))
    monkeypatch.setattr(demo, "SILENCE", 0.2)
    server.photos.acquire()
    assert ask("/read?scale=0.5", PHOTO)[0] == 503
    assert ask("/about")[0] == 200
    server.photos.release()
    assert ask("/read?scale=0.5", PHOTO)[0] == 200


def test_a_defect_is_told_and_the_server_stays(server, monkeypatch, ask):
    monkeypatch.setattr(demo, "decode", lambda *_: 1 / 0)
    status, _, content = ask("/read", PHOTO)
    assert (status, "ZeroDivisionError" in content["error"]) == (500, True)
    monkeypatch.undo()
    assert ask("/read?scale=0.5", PHOTO)[0] == 200


def test_names_are_escaped_where_they_are_shown(ask):
    name = "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E%0d%0aX%3A%20y"
    status, kind, content = ask(f"/read?name={name}", b"no photo")
    assert (status, kind) == (400, "application/json")
    assert "\n" not in content["error"]
    page = ask("/")[2].decode()
    assert "innerHTML" not in page
    assert "insertAdjacentHTML" not in page


def test_another_address_must_be_asked_for(predictor):
    with Server(Viewer(predictor, "a"), 0, "127.0.0.2") as other:
        Thread(target=other.serve_forever, daemon=True).start()
        try:
            for host, status in ((f"127.0.0.2:{other.server_port}", 200), ("evil.example", 403)):
                connection = http.client.HTTPConnection("127.0.0.2", other.server_port, timeout=30)
                connection.request("GET", "/about", headers={"Host": host})
                assert connection.getresponse().status == status
                connection.close()
        finally:
            other.shutdown()
    for host in ("no.such.host.invalid", "192.0.2.1"):
        with pytest.raises(ConfigError, match=f"host={host} is no address of this computer"):
            Server(Viewer(predictor, "a"), 0, host)


def test_without_calibration_there_are_no_budgets(tmp_path):
    viewer = Viewer(load(make_checkpoint(tmp_path / "student.ckpt", selector=False), device="cpu"), "bundled")
    assert viewer.about({}, b"")["budgets"] is None
    assert viewer.read({"scale": "0.3"}, PHOTO)["scale"] == 0.3
    with pytest.raises(ConfigError, match="needs a selector"):
        viewer.read({"budget": "0.5"}, PHOTO)


def test_a_photo_is_decoded_once():
    decode.cache_clear()
    for _ in range(3):
        decode(PHOTO, "a.png")
    assert decode.cache_info().misses == 1


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["ckpt=absent.ckpt"], 1, "absent.ckpt does not exist"),
        (["ckpt=student.ckpt", "port=busy"], 2, "port"),
        (["ckpt=student.ckpt", "port=70000"], 2, "port=70000"),
        (["prot=1"], 2, "prot"),
    ],
)
def test_command_tells_mistakes_in_one_sentence(tmp_path, monkeypatch, capsys, arguments, status, words):
    monkeypatch.chdir(tmp_path)
    make_checkpoint(tmp_path / "student.ckpt")
    monkeypatch.setattr(sys, "argv", ["demo", "device=cpu", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    assert (end.value.code, out, len(err.splitlines())) == (status, "", 1)
    assert words in err
    assert [path.name for path in tmp_path.iterdir()] == ["student.ckpt"]


def test_a_port_that_is_taken(server, predictor):
    with pytest.raises(ConfigError, match=f"port={server.server_port} cannot be used"):
        Server(Viewer(predictor, "student.ckpt"), server.server_port)
