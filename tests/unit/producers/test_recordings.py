"""The recordings of tests/data/producers are complete, readable, small, and say nothing about where they were made."""

import gzip
import json
import re
import zlib
from pathlib import Path

import pytest
from producer_recordings import BESIDE, FOLDER, PRODUCERS, RECORDINGS, Recording, frames, is_payload

from eventwriter.kinds.names import KINDS

SIZE_MAX_BYTES = 1_500_000
MACHINE = re.compile(rb"/(?:root|home|tmp|work|Users|var/folders)/|site-packages|node_modules|localdomain")
"""Parts of paths and host names that only the machine of a recording has."""

EACH = pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.id)


def expanded(payload: bytes) -> bytes:
    """Return a payload without its compression."""
    if payload[:2] == b"\x1f\x8b":
        return gzip.decompress(payload)
    return zlib.decompress(payload) if payload[:1] == b"\x78" and payload[1:2] in b"\x01\x9c\xda" else payload


@pytest.mark.parametrize("folder", PRODUCERS, ids=lambda folder: folder.name)
def test_each_file_belongs_to_one_payload(folder: Path) -> None:
    """A folder holds payloads, each with what was told; no name has two payloads, and nothing else lies there."""
    files = list(folder.iterdir())
    payloads = [path.stem for path in files if is_payload(path)]
    told = {path.name.removesuffix(".told.json") for path in files if path.name.endswith(".told.json")}
    headers = {path.name.removesuffix(".headers.json") for path in files if path.name.endswith(".headers.json")}

    assert payloads
    assert sorted(payloads) == sorted(told)
    assert headers <= told
    assert {path.name for path in files if not is_payload(path) and not path.name.endswith(BESIDE)} == set()


@EACH
def test_told_names_producer_kind_and_records(recording: Recording) -> None:
    """What was told names the producer, a kind that exists, a subject, the form, and at least one record."""
    told = recording.told

    assert recording.kind in KINDS
    assert all(isinstance(told[key], str) and told[key] for key in ("producer", "subject", "form"))
    assert told["origin"] in ("recorded", "handwritten")
    assert all(isinstance(record, dict) and record for record in recording.records)
    assert recording.records


@EACH
def test_payload_has_the_form_of_its_suffix(recording: Recording) -> None:
    """JSON parses, each line of JSON lines parses, text is UTF-8; only a binary payload may be empty."""
    text = recording.payload.removesuffix(b"\0")

    if recording.suffix == ".json":
        assert isinstance(json.loads(text), dict | list)
    elif recording.suffix == ".ndjson":
        assert all(isinstance(json.loads(line), dict) for line in text.splitlines())
    elif recording.suffix == ".txt":
        assert text.decode().strip()
    else:
        assert recording.payload or recording.headers


@EACH
def test_lines_and_frames_are_as_many_as_records(recording: Recording) -> None:
    """A payload of several lines or frames holds one record in each, in the order that was told."""
    parts = recording.split()

    if recording.suffix == ".ndjson":
        assert [part.payload for part in parts] == recording.payload.splitlines()
    else:
        assert b"".join(part.payload for part in parts) == recording.payload
    assert [record for part in parts for record in part.records] == recording.records


@EACH
def test_headers_are_texts(recording: Recording) -> None:
    """Headers are content-type, content-encoding and ce-*, in lower case, with texts as values."""
    for name, value in (recording.headers or {}).items():
        assert name in ("content-type", "content-encoding") or name.startswith("ce-")
        assert name == name.lower()
        assert isinstance(value, str)


@EACH
def test_recording_names_no_machine(recording: Recording) -> None:
    """No path or host name of the machine that made it is in a recording."""
    told = json.dumps(recording.told).encode()

    assert MACHINE.search(expanded(recording.payload)) is None
    assert MACHINE.search(told) is None


@EACH
def test_expectation_is_written_down(recording: Recording) -> None:
    """EXPECT.md says of each recording what an operator would find."""
    assert f"`{recording.id}`" in (FOLDER / "EXPECT.md").read_text()


def test_all_together_stay_small() -> None:
    """The recordings stay below their limit, so that a checkout stays quick."""
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < SIZE_MAX_BYTES


def test_frames_reject_a_length_beyond_the_payload() -> None:
    """A frame longer than what is left is an error, not a short frame."""
    with pytest.raises(ValueError, match="frame at byte 2"):
        list(frames(b"\x01a\x05b"))
