"""
Payload number `n` of a run.

Made of the seeds, of the run's number and of `n` alone, so that each can be made again.
"""

import json
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from fuzz import json_mutations, protobuf_mutations
from fuzz.seeds import ANY_SUBJECTS, Seed, seeds

from eventwriter.formats.fields import names
from eventwriter.formats.flow.flow_pb2 import FlowMessage
from eventwriter.formats.otlp import metrics, traces
from eventwriter.kinds.registry import KINDS

_FURTHER_KEYS = {
    "otel_metrics": [key for field in metrics.FIELDS for key in names(field)],
    "otel_traces": [key for field in traces.FIELDS for key in names(field)],
    "netflow": [field.name for field in FlowMessage.DESCRIPTOR.fields],
}
_FOR_ALL = ("community", "zzz", "id", "time", "metadata", "timestamp", "type", "name", "message", "partition")


class Thrown(NamedTuple):
    """
    A payload to be thrown.

    Attributes:
        secret: Whether it holds a secret that no row may hold.
    """

    seed: Seed
    subject: str
    payload: bytes
    secret: bool
    other_kind: str


class Mutations:
    """The maker of payloads."""

    def __init__(self, run: int, only: str | None = None) -> None:
        every = seeds()
        self._run = run
        self._by_kind = {kind: [seed for seed in every if seed.kind == kind] for kind in KINDS}
        self._kinds = [only] if only else list(KINDS)
        self._keys = {kind: _keys(kind, found) for kind, found in self._by_kind.items()}

    def __call__(self, n: int) -> Thrown:
        """Return payload number `n`; the kinds take turns."""
        rng = random.Random(self._run << 40 | n)
        kind = self._kinds[n % len(self._kinds)]
        near = self._by_kind[kind]
        seed, other = rng.choice(near), rng.choice(near)
        payload, secret = self._changed(rng, seed, other)
        subject = seed.subject if rng.random() < 0.9 else rng.choice(ANY_SUBJECTS)
        return Thrown(seed, subject, payload, secret, rng.choice(list(KINDS)))

    def _changed(self, rng: random.Random, seed: Seed, other: Seed) -> tuple[bytes, bool]:
        way = rng.random()
        if seed.is_json and way < 0.8:
            payload, secret = json_mutations.mutated(rng, seed.payload, self._keys[seed.kind])
            if way > 0.05:
                return payload, secret
            return damaged(rng, payload, other.payload), False
        if not seed.is_json and way < 0.7:
            payload = protobuf_mutations.mutated(rng, seed.payload, other.payload)
            return (damaged(rng, payload, other.payload) if way < 0.05 else payload), False
        return damaged(rng, seed.payload, other.payload), False


def _keys(kind: str, found: Sequence[Seed]) -> list[str]:
    """Return the names of fields that a kind may know: all that its seeds have, and more."""
    keys: set[str] = {*_FOR_ALL, *_FURTHER_KEYS.get(kind, ())}

    def collect(value: Any) -> None:
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            collect(inner)
        if isinstance(value, dict):
            keys.update(value)

    for seed in found:
        if seed.is_json:
            collect(json.loads(seed.payload))
    return sorted(keys)


def damaged(rng: random.Random, payload: bytes, other: bytes) -> bytes:
    """Return a payload whose bytes were changed without regard to what they mean."""
    data = bytearray(payload)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        way = rng.randrange(8)
        if way == 0:
            del data[at:]
        elif way == 1:
            data[at:at] = data[: rng.randrange(len(data) + 1)]
        elif way == 2:
            data[at:] = other[rng.randrange(len(other) + 1) :]
        elif way == 3:
            data[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif way == 4:
            del data[at : at + rng.randrange(1, 9)]
        elif way == 5:
            data[:0] = rng.choice((b"\xef\xbb\xbf", b" \n\t", b"\x0a", b"[", b"{", b"\0", b"\xff\xfe"))
        else:
            for _ in range(rng.randrange(1, 5)):
                if data:
                    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)
