"""
Load the recordings of tests/data/producers: what real programs sent, beside what they were told to send.

    for recording in RECORDINGS: rows_of(recording.kind, recording.message())
    for single in recording.split(): ...  # one message a line or a frame, as most publishers send them
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from golden_rows import DATA, STORED_NS

from eventwriter.model import Message

FOLDER = DATA / "producers"
PAYLOAD_SUFFIXES = (".bin", ".json", ".ndjson", ".txt")
BESIDE = (".told.json", ".headers.json")


@dataclass(frozen=True, slots=True)
class Recording:
    """
    One payload and what its producer was told.

    Attributes:
        id: `folder/name`, where name is that of the payload file without its suffix.
        suffix: That of the payload file: .json, .ndjson (JSON lines), .txt, or .bin.
        kind, subject: Where an operator would send it.
        headers: What the message carries; names as recorded, in lower case.
        told: The whole of NAME.told.json.
    """

    id: str
    suffix: str
    kind: str
    subject: str
    payload: bytes
    headers: dict[str, str] | None
    told: dict[str, Any]

    @property
    def records(self) -> list[dict[str, Any]]:
        """What the payload holds, in its order, by the neutral names of README.md."""
        return self.told["records"]

    @property
    def is_framed(self) -> bool:
        """Whether the payload is protobuf messages, each with its length before it."""
        return self.told.get("framing") == "length prefix"

    def message(self, stream_seq: int = 7) -> Message:
        """Return the delivery of the whole payload in one message."""
        return Message("", self.subject, self.payload, self.headers, stream_seq, stream_seq, 1, STORED_NS)

    def split(self) -> list["Recording"]:
        """Return one recording for each line or frame, with its own record; itself where there are neither."""
        parts = self._parts()
        if parts is None:
            return [self]
        return [
            replace(self, id=f"{self.id}-{number}", payload=part, told={**self.told, "records": [record]})
            for number, (part, record) in enumerate(zip(parts, self.records, strict=True), 1)
        ]

    def _parts(self) -> list[bytes] | None:
        if self.suffix == ".ndjson":
            return self.payload.splitlines()
        return list(frames(self.payload)) if self.is_framed else None


def frames(payload: bytes) -> Iterator[bytes]:
    """
    Yield each length-prefixed message, its prefix included.

    Raises:
        ValueError: The frames do not fill the payload exactly.
    """
    at = 0
    while at < len(payload):
        start, length, shift = at, 0, 0
        while payload[at] > 127:
            length, shift, at = length | (payload[at] & 127) << shift, shift + 7, at + 1
        length, at = length | payload[at] << shift, at + 1
        if at + length > len(payload):
            raise ValueError(f"the frame at byte {start} is {length} bytes long, {len(payload) - at} are left")
        at += length
        yield payload[start:at]


def is_payload(path: Path) -> bool:
    return path.suffix in PAYLOAD_SUFFIXES and not path.name.endswith(BESIDE)


def load(path: Path) -> Recording:
    """Return the recording of a payload file."""
    told = json.loads(path.with_suffix(".told.json").read_text())
    headers = path.with_suffix(".headers.json")
    return Recording(
        id=f"{path.parent.name}/{path.stem}",
        suffix=path.suffix,
        kind=told["kind"],
        subject=told["subject"],
        payload=path.read_bytes(),
        headers=json.loads(headers.read_text()) if headers.exists() else None,
        told=told,
    )


PRODUCERS = sorted(path for path in FOLDER.iterdir() if path.is_dir() and path.name != "__pycache__")
PAYLOADS = [path for folder in PRODUCERS for path in sorted(folder.iterdir()) if is_payload(path)]
RECORDINGS = [load(path) for path in PAYLOADS]
