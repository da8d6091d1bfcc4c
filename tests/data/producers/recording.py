"""
Write recordings, and receive them: what every record_*.py here shares.

A recording is a payload, byte for byte, and beside it what its producer was told to send.
"""

import base64
import gzip
import json
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent
KEPT_HEADERS = ("content-type", "content-encoding")
"""Of the headers that a request had; ce-* are kept too. The others describe the connection, not the payload."""


class Request(NamedTuple):
    """One HTTP request that the capture server received; header names are in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


def record(
    producer: str, name: str, payload: bytes, told: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> None:
    """
    Write one recording into the producer's folder.

    Args:
        producer: Name of the folder.
        name: Payload file with its suffix: .json, .ndjson, .txt or .bin.
        payload: Exactly the bytes that were sent.
        told: Keys `producer`, `kind`, `subject`, `form`, `records`; see README.md.
        headers: What a message would carry beside it, where there is anything.
    """
    folder = FOLDER / producer
    folder.mkdir(exist_ok=True)
    stem = name.rpartition(".")[0]
    (folder / name).write_bytes(payload)
    write_json(folder / f"{stem}.told.json", {"origin": "recorded", **told})
    if headers:
        write_json(folder / f"{stem}.headers.json", dict(headers))


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name in KEPT_HEADERS or name.startswith("ce-")}


def scenario() -> dict[str, Any]:
    """Return what every OpenTelemetry SDK is told to send."""
    return json.loads((FOLDER / "scenario.json").read_text())


def native(value: Any) -> Any:
    """Turn `{"$bytes": …}` and `{"$float": …}` of the scenario into Python's own values."""
    if isinstance(value, dict):
        if "$bytes" in value:
            return base64.b64decode(value["$bytes"])
        if "$float" in value:
            return float(value["$float"])
        return {key: native(item) for key, item in value.items()}
    return [native(item) for item in value] if isinstance(value, list) else value


def neutral(value: Any) -> Any:
    """Turn Python's values into what told.json can hold: the inverse of `native`."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")}
    if isinstance(value, Mapping):
        return {str(key): neutral(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [neutral(item) for item in value]
    return value


@contextmanager
def capture_server() -> Iterator[tuple[str, list[Request]]]:
    """Serve HTTP on a free port of the loopback interface; yield its URL and the requests received so far."""
    received: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            received.append(Request(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def without_gzip_time(payload: bytes) -> bytes:
    """Compress a gzip payload again with time 0, so that a new recording differs only where its content does."""
    return gzip.compress(gzip.decompress(payload), mtime=0)
