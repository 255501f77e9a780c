"""Look at what a checkpoint reads, in the browser: ``python -m dld_spotter.demo``; ``--help`` lists what can be overridden."""

import errno
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from omegaconf import MISSING, DictConfig, OmegaConf
from PIL import Image, UnidentifiedImageError

from dld_spotter.config.entry import entry_point
from dld_spotter.core.errors import ConfigError, DataError, SpotterError
from dld_spotter.data.photos import ReferenceSize, read_image
from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.inference.loading import load
from dld_spotter.inference.output import to_json
from dld_spotter.inference.predictor import Predictor

HOST = "127.0.0.1"
MOST_BYTES = 64 * 2**20
"""Of a photo's file."""
SHOWN = 1600
"""Pixels of the long side of what the page shows."""
KNOBS = {"budget", "scale", "gamma"}


@dataclass
class Settings:
    """Types of what ``conf/demo.yaml`` holds."""

    ckpt: str = MISSING
    vocabulary: str | None = None
    port: int = MISSING
    reference: dict[str, int | None] = MISSING
    device: str | None = MISSING
    precision: str = MISSING


class Viewer:
    """What the page asks for, each method with the query of the address and the content of a photo's file.

    Args:
        predictor: reads.
        name: of its checkpoint.
    """

    def __init__(self, predictor: Predictor, name: str) -> None:
        self.predictor, self.name = predictor, name

    def page(self, query: Mapping[str, str], photo: bytes) -> bytes:
        """The page itself."""
        return (files("dld_spotter") / "assets" / "pages" / "demo.html").read_bytes()

    def about(self, query: Mapping[str, str], photo: bytes) -> dict[str, Any]:
        """Name of the checkpoint, and the mean relative costs that can be asked of it (null where none can)."""
        known = self.predictor.calibration
        low = ceil(1000 * known.low) / 1000 if known else 0.0
        budgets = [low, max(low, round(known.high, 3))] if known else None
        return {"checkpoint": self.name, "budgets": budgets, "most_bytes": MOST_BYTES}

    def example(self, query: Mapping[str, str], photo: bytes) -> bytes:
        """A rendered scene, for those who have no photo at hand."""
        number = query.get("number", "")
        renderer = SceneRenderer(77, SceneLayout(480, 640))
        return _jpeg(Image.fromarray(renderer.render(int(number) if number.isdecimal() else 0).image))

    def show(self, query: Mapping[str, str], photo: bytes) -> bytes:
        """What is read of a photo, upright and without alpha, as a JPEG that every browser shows."""
        picture = Image.fromarray(decode(photo, query.get("name", "photo")))
        picture.thumbnail((SHOWN, SHOWN))
        return _jpeg(picture)

    def read(self, query: Mapping[str, str], photo: bytes) -> dict[str, Any]:
        """What is read with one of budget, scale and gamma, in the form of ``predict``.

        A budget is translated by the calibration alone: what earlier photos have spent must not change what one sees.
        """
        name = query.get("name", "photo")
        wanted = {key: _number(key, query[key]) for key in query.keys() & KNOBS}
        if "budget" in wanted and self.predictor.calibration:
            wanted["gamma"] = self.predictor.calibration.gamma_for(wanted.pop("budget"))
        return to_json(Path(name), self.predictor.read(decode(photo, name), **wanted))


ROUTES = {
    "GET /": ("text/html; charset=utf-8", Viewer.page),
    "GET /about": ("application/json", Viewer.about),
    "GET /example": ("image/jpeg", Viewer.example),
    "POST /show": ("image/jpeg", Viewer.show),
    "POST /read": ("application/json", Viewer.read),
}
"""What is asked for -> type of the answer, and what gives it."""


@lru_cache(maxsize=2)
def decode(photo: bytes, name: str) -> np.ndarray:
    """Content of a file to ``(H, W, 3)`` uint8 RGB; raises DataError where it is no image. A slider asks again and again."""
    try:
        return read_image(BytesIO(photo), name)
    except DataError as error:
        if isinstance(error.__cause__, UnidentifiedImageError):
            raise DataError(f"{name} is no image; choose a photo (JPEG, PNG, WebP, TIFF, GIF, BMP)") from error
        raise


def _jpeg(picture: Image.Image) -> bytes:
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=92)
    return stream.getvalue()


class Server(ThreadingHTTPServer):
    """Serves the page to this computer alone; all that is asked runs in one thread, as torch keeps helpers for each.

    Args:
        viewer: answers.
        port: where; 0 for any that is free.

    Raises:
        ConfigError: the port cannot be used.
    """

    def __init__(self, viewer: Viewer, port: int) -> None:
        self.viewer, self.worker = viewer, ThreadPoolExecutor(1)
        try:
            super().__init__((HOST, port), Handler)
        except OverflowError as error:
            raise ConfigError(f"port={port} must be from 0 to 65535; leave it out, or give port=0 for any") from error
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise ConfigError(f"port={port} cannot be used ({error.strerror}); give port=0 for any that is free") from error


class Handler(BaseHTTPRequestHandler):
    """Answers what ``ROUTES`` lists; a mistake is told as JSON, in one sentence."""

    server: Server

    def do_GET(self) -> None:
        """Answer."""
        address, length = urlsplit(self.path), self.headers.get("Content-Length", "")
        size = int(length) if length.isdecimal() else 0
        route = f"{self.command} {address.path}"
        if not self._is_own():
            self._tell(HTTPStatus.FORBIDDEN, "only the page of this server may ask")
        elif route not in ROUTES:
            self._tell(HTTPStatus.NOT_FOUND, f"there is nothing at {address.path}")
        elif size > MOST_BYTES:
            self._tell(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a photo may have {MOST_BYTES >> 20} MB at most; make it smaller")
        else:
            kind, make = ROUTES[route]
            arguments = self.server.viewer, dict(parse_qsl(address.query)), self.rfile.read(size)
            try:
                content = self.server.worker.submit(make, *arguments).result()
            except SpotterError as error:
                self._tell(HTTPStatus.BAD_REQUEST, str(error))
            else:
                self._send(HTTPStatus.OK, kind, content if isinstance(content, bytes) else json.dumps(content).encode())

    do_POST = do_GET

    def _is_own(self) -> bool:
        """Whether the server's own page asks, or a program; other sites could send those here who visit them."""
        host, origin = self.headers.get("Host"), self.headers.get("Origin")
        own = {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}
        return host in own and origin in (None, f"http://{host}")

    def _tell(self, status: HTTPStatus, sentence: str) -> None:
        self._send(status, "application/json", json.dumps({"error": sentence}).encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        with suppress(ConnectionError):  # the page was closed meanwhile
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing of each request."""


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f"{name}={text} must be a number") from error


def demo(config: DictConfig) -> None:
    """Serve the page until Ctrl+C."""
    OmegaConf.resolve(config)
    config = OmegaConf.merge(OmegaConf.structured(Settings), config)
    predictor = load(config.ckpt, ReferenceSize(**config.reference), config.device, None, config.vocabulary, config.precision)
    with Server(Viewer(predictor, Path(config.ckpt).name), config.port) as server, suppress(KeyboardInterrupt):
        print(f"http://{HOST}:{server.server_port} shows what {config.ckpt} reads; Ctrl+C ends it", flush=True)
        server.serve_forever()


@entry_point("demo", kernels=1024)
def main(config: DictConfig) -> None:
    """Load, serve."""
    demo(config)


if __name__ == "__main__":
    main()
