"""
Seeds of the fuzz test: every payload of tests/data, sample traffic, and a few records for kind `json`.
"""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from generations import FOLDERS, SUBJECTS
from golden_rows import DATA

from eventwriter.demo.traffic import TRAFFIC, well_formed
from eventwriter.kinds.registry import KINDS

SAMPLES_PER_KIND = 12
_NOW_NS = 1_767_225_600_000_000_000

ANY_SUBJECTS = ("x", "events.ünï.processed", "logs.otel", "logs.syslog", "flows.raw.netflow", ".".join("abc" * 80))

OF_ANY_TYPE: tuple[Mapping[str, Any], ...] = (
    {
        "smallint": 7, "integer": 8, "bigint": 2**40, "real": 1.5, "double precision": 2.5, "numeric": "1.23e-5",
        "boolean": True, "text": "t", "character varying": "v", "character": "c", "enum": "ok",
        "uuid": "0b0f4e3e-8f0a-4c5e-9d57-0d9ac8a1c001", "date": "2026-01-01", "time without time zone": "12:30:00.5",
        "timestamp with time zone": "2026-01-01T00:00:00Z", "timestamp without time zone": 1_767_225_600_000,
        "interval": "P1DT2H", "json": {"a": [1]}, "jsonb": [{"b": None}], "bytea": "\\x00ff", "inet": "10.0.0.1/8",
        "cidr": "10.0.0.0/8", "a": {"b": [{"c": 1}]}, "zzz": 1,
    },
    {
        "smallint[]": [1, None, 3], "integer[]": "[1,2]", "bigint[]": [2**40], "numeric[]": ["1e10", 0.1],
        "text[]": ["a", None], "boolean[]": [True], "uuid[]": ["0b0f4e3e-8f0a-4c5e-9d57-0d9ac8a1c001"],
        "date[]": ["2026-01-01"], "interval[]": [5, "PT1S"], "jsonb[]": [{"a": 1}], "bytea[]": ["AAE="],
        "inet[]": ["::1"], "cidr[]": ["10.0.0.0/8"], "timestamp with time zone[]": [1_767_225_600], "integer": 1,
        "double precision[]": [1.5, "NaN"], "real[]": [1e30], "time without time zone[]": ["01:02"],
    },
    {"integer": 1, "made_at": "2026-01-01T00:00:00Z", "made_id": None, "counted": 5, "text": "x"},
)  # fmt: skip
"""Records for kind `json`; each key is the type of the column that it fills."""


@dataclass(frozen=True, slots=True)
class Seed:
    """
    A payload with its kind and subject.

    Attributes:
        is_json: Whether the payload is JSON; otherwise it is protobuf or not structured.
    """

    name: str
    kind: str
    subject: str
    payload: bytes
    is_json: bool


def seeds() -> list[Seed]:
    """Return all seeds, always in the same order."""
    found = [*_of_files(), *_of_traffic()]
    found += [
        _seed(f"any/{at}", "json", "things.x", json.dumps(record).encode()) for at, record in enumerate(OF_ANY_TYPE)
    ]
    return found


def _seed(name: str, kind: str, subject: str, payload: bytes) -> Seed:
    try:
        is_json = isinstance(orjson.loads(payload), (dict, list))
    except orjson.JSONDecodeError:
        is_json = False
    return Seed(name, kind, subject, payload, is_json)


def _of_files() -> Iterator[Seed]:
    kinds: dict[str, list[str]] = {}
    for kind, folders in FOLDERS.items():
        for folder in folders:
            kinds.setdefault(folder, []).append(kind)
    kinds["logs_raw_inputs"] = ["events", "logs"]
    foreign = [name for name in KINDS if name != "json"]
    for folder in sorted(
        path for path in DATA.iterdir() if path.name not in ("generations", "go_config", "golden", "producers")
    ):
        for path in sorted(folder.iterdir()):
            if {".row", ".rows"} & set(path.suffixes):
                continue
            payload = path.read_bytes()
            for kind in kinds.get(folder.name, foreign):
                subject = SUBJECTS.get(folder.name, "falco.warning.x")
                yield _seed(f"{folder.name}/{path.name}", kind, subject, payload)


def _of_traffic() -> Iterator[Seed]:
    rng = random.Random(1)
    for kind, traffic in TRAFFIC.items():
        for n in range(SAMPLES_PER_KIND):
            payload = well_formed(kind, rng, n, _NOW_NS + n, records=1 + n % 3)
            yield _seed(f"traffic/{kind}/{n}", kind, traffic.subject, payload)
