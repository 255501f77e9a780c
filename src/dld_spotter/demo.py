"""Look at what a checkpoint reads, in the browser: ``python -m dld_spotter.demo``; ``--help`` lists what can be overridden."""

import errno
import json
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from io import BytesIO
from math import ceil, isfinite, nan
from pathlib import Path
from socket import SHUT_RDWR, gaierror, socket
from threading import BoundedSemaphore, Timer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from omegaconf import MISSING, DictConfig, OmegaConf
from PIL import Image, UnidentifiedImageError

from dld_spotter.config.entry import entry_point
from dld_spotter.core.errors import ConfigError, DataError, SpotterError
from dld_spotter.core.interruption import Interrupted
from dld_spotter.data.photos import ReferenceSize, read_image
from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.inference.loading import load
from dld_spotter.inference.output import to_json
from dld_spotter.inference.predictor import Predictor

HOST = "127.0.0.1"
MOST_BYTES = 64 * 2**20
"""Of a photo's file."""
MOST_CONNECTIONS, MOST_PHOTOS = 32, 4
"""Open at a time, and uploaded or read at a time, which bounds the memory for what is sent."""
SILENCE, PATIENCE = 10, 60
"""Seconds that a connection may say nothing, and that a whole request may take to arrive."""
LONGEST_NUMBER, MOST_FIELDS = 12, 16
"""Digits of a number, and fields of a query."""
SHOWN = 1600
"""Pixels of the long side of what the page shows."""
KNOBS = {"budget", "scale", "gamma"}


@dataclass
class Settings:
    """Types of what ``conf/demo.yaml`` holds."""

    ckpt: str = MISSING
    vocabulary: str | None = None
    port: int = MISSING
    host: str = MISSING
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
        return _jpeg(Image.fromarray(renderer.render(_length(number) or 0).image))

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
    """Serves the page to this computer alone, unless told otherwise.

    All that is asked runs in one thread, as torch keeps helpers for each. At most ``MOST_CONNECTIONS`` are open and
    ``MOST_PHOTOS`` uploaded or read at a time; further ones are told to come back.

    Args:
        viewer: answers.
        port: where; 0 for any that is free.
        host: address that it listens at; who reaches it may ask, and what they ask is read here.

    Raises:
        ConfigError: the host or port cannot be used.
    """

    daemon_threads = True

    def __init__(self, viewer: Viewer, port: int, host: str = HOST) -> None:
        self.viewer, self.worker, self.host = viewer, ThreadPoolExecutor(1), host
        self.connections, self.photos = BoundedSemaphore(MOST_CONNECTIONS), BoundedSemaphore(MOST_PHOTOS)
        try:
            super().__init__((host, port), Handler)
        except gaierror as error:
            raise ConfigError(f"host={host} is no address of this computer ({error.strerror}); leave it out") from error
        except OverflowError as error:
            raise ConfigError(f"port={port} must be from 0 to 65535; leave it out, or give port=0 for any") from error
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise ConfigError(f"host={host} is no address of this computer; leave it out") from error
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise ConfigError(f"port={port} cannot be used ({error.strerror}); give port=0 for any that is free") from error

    def process_request(self, request: socket, client_address: Any) -> None:
        """Answer in a thread of its own, as long as there are not too many."""
        if self.connections.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        with suppress(OSError):
            request.sendall(b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n")
        self.shutdown_request(request)

    def process_request_thread(self, request: socket, client_address: Any) -> None:
        """Answer, and make room for the next one."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a connection that broke off, or that was too slow."""
        if not isinstance(sys.exception() if hasattr(sys, "exception") else sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers what ``ROUTES`` lists; a mistake is told as JSON, in one sentence."""

    server: Server
    timeout = SILENCE

    def setup(self) -> None:
        """Begin; who sends a byte now and then is cut off, too."""
        super().setup()
        self.patience = Timer(PATIENCE, self._cut)
        self.patience.daemon = True
        self.patience.start()

    def finish(self) -> None:
        """End."""
        self.patience.cancel()
        with suppress(OSError):  # the connection is gone
            super().finish()

    def do_GET(self) -> None:
        """Answer."""
        size = _length(self.headers.get("Content-Length"))
        try:
            address = urlsplit(self.path)
        except ValueError:
            self._tell(HTTPStatus.BAD_REQUEST, "the address cannot be understood")
            return
        route = f"{self.command} {address.path}"
        if not self._is_own():
            self._tell(HTTPStatus.FORBIDDEN, "only the page of this server may ask")
        elif route not in ROUTES:
            self._tell(HTTPStatus.NOT_FOUND, f"there is nothing at {address.path[:200]}")
        elif size is None or "Transfer-Encoding" in self.headers:
            self._tell(HTTPStatus.LENGTH_REQUIRED, "a request must say how many bytes it has, by Content-Length")
        elif size > MOST_BYTES:
            self._tell(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a photo may have {MOST_BYTES >> 20} MB at most; make it smaller")
        elif not size:
            self._answer(route, address.query, size)
        elif not self.server.photos.acquire(timeout=SILENCE):
            self._tell(HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_PHOTOS} photos are being read already; ask again")
        else:
            try:
                self._answer(route, address.query, size)
            finally:
                self.server.photos.release()

    do_POST = do_GET

    def _answer(self, route: str, query: str, size: int) -> None:
        kind, make = ROUTES[route]
        photo = self.rfile.read(size)
        self.patience.cancel()  # from here on, it is us who take the time
        if len(photo) < size:
            self._tell(HTTPStatus.BAD_REQUEST, f"the photo broke off after {len(photo)} of {size} bytes; send it again")
            return
        try:
            given = dict(parse_qsl(query, max_num_fields=MOST_FIELDS))
            content = self.server.worker.submit(make, self.server.viewer, given, photo).result()
        except SpotterError as error:
            self._tell(HTTPStatus.BAD_REQUEST, str(error))
        except Exception as error:  # a defect of ours, or of a library: the page is told, and the server stays
            self._tell(
                HTTPStatus.INTERNAL_SERVER_ERROR, f"this could not be answered ({type(error).__name__}); try another photo"
            )
        else:
            self._send(HTTPStatus.OK, kind, content if isinstance(content, bytes) else json.dumps(content).encode())

    def _cut(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(SHUT_RDWR)

    def _is_own(self) -> bool:
        """Whether the server's own page asks, or a program; other sites could send those here who visit them."""
        host, origin = self.headers.get("Host"), self.headers.get("Origin")
        names = {HOST, "localhost"} if self.server.host == HOST else {self.server.host, self.connection.getsockname()[0]}
        own = {f"{name}:{self.server.server_port}" for name in names}
        sites = self.headers.get("Sec-Fetch-Site")  # what browsers say of a picture or a form in another page
        return host in own and origin in (None, f"http://{host}") and sites in (None, "same-origin", "none")

    def _tell(self, status: HTTPStatus, sentence: str) -> None:
        self._send(status, "application/json", json.dumps({"error": sentence}).encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        with suppress(ConnectionError):  # the page was closed meanwhile
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing of each request."""


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = nan
    if not isfinite(value):
        raise ConfigError(f"{name}={text[:60]} must be a number")
    return value


def _length(text: str | None) -> int | None:
    """Bytes that a request has, 0 where it says nothing of them; None where it says something else than a number."""
    if text is None:
        return 0
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER else None


def demo(config: DictConfig) -> None:
    """Serve the page until Ctrl+C or SIGTERM, which is how it is meant to end."""
    OmegaConf.resolve(config)
    config = OmegaConf.merge(OmegaConf.structured(Settings), config)
    predictor = load(config.ckpt, ReferenceSize(**config.reference), config.device, None, config.vocabulary, config.precision)
    viewer = Viewer(predictor, Path(config.ckpt).name)
    with Server(viewer, config.port, config.host) as server, suppress(Interrupted, KeyboardInterrupt):
        others = "" if config.host == HOST else ", also to whoever reaches this computer"
        print(f"http://{config.host}:{server.server_port} shows what {config.ckpt} reads{others}; Ctrl+C ends it", flush=True)
        server.serve_forever()


@entry_point("demo", kernels=1024)
def main(config: DictConfig) -> None:
    """Load, serve."""
    demo(config)


if __name__ == "__main__":
    main()
