"""
Generator of fuzz inputs.

Input `n` of a run depends only on the seeds, the run's number and `n`, so that it can be reproduced.
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


class FuzzInput(NamedTuple):
    """
    A message to check.

    Attributes:
        secret: Whether the payload contains a secret, which no row may contain.
        other_kind: Another kind that also gets the message.
    """

    seed: Seed
    subject: str
    payload: bytes
    secret: bool
    other_kind: str


class InputGenerator:
    """Generates the inputs of a run, or only those of one kind."""

    def __init__(self, run: int, only: str | None = None) -> None:
        self._run = run
        self._by_kind = {kind: [seed for seed in seeds() if seed.kind == kind] for kind in KINDS}
        self._kinds = [only] if only else list(KINDS)
        self._keys = {kind: _keys(kind, found) for kind, found in self._by_kind.items()}

    def __call__(self, n: int) -> FuzzInput:
        """Return input `n`; the kinds alternate."""
        rng = random.Random(self._run << 40 | n)
        kind = self._kinds[n % len(self._kinds)]
        of_kind = self._by_kind[kind]
        seed, other = rng.choice(of_kind), rng.choice(of_kind)
        payload, secret = self._mutated(rng, seed, other)
        subject = seed.subject if rng.random() < 0.9 else rng.choice(ANY_SUBJECTS)
        return FuzzInput(seed, subject, payload, secret, rng.choice(list(KINDS)))

    def _mutated(self, rng: random.Random, seed: Seed, other: Seed) -> tuple[bytes, bool]:
        choice = rng.random()
        if seed.is_json and choice < 0.8:
            payload, secret = json_mutations.mutate(rng, seed.payload, self._keys[seed.kind])
            if choice > 0.05:
                return payload, secret
            return corrupt(rng, payload, other.payload), False
        if not seed.is_json and choice < 0.7:
            payload = protobuf_mutations.mutate(rng, seed.payload, other.payload)
            return (corrupt(rng, payload, other.payload) if choice < 0.05 else payload), False
        return corrupt(rng, seed.payload, other.payload), False


def _keys(kind: str, found: Sequence[Seed]) -> list[str]:
    """Return keys that a kind may recognize: all keys of its seeds, and others."""
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


def corrupt(rng: random.Random, payload: bytes, other: bytes) -> bytes:
    """Return the payload with random bytes changed, regardless of their meaning."""
    data = bytearray(payload)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        choice = rng.randrange(8)
        if choice == 0:
            del data[at:]
        elif choice == 1:
            data[at:at] = data[: rng.randrange(len(data) + 1)]
        elif choice == 2:
            data[at:] = other[rng.randrange(len(other) + 1) :]
        elif choice == 3:
            data[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif choice == 4:
            del data[at : at + rng.randrange(1, 9)]
        elif choice == 5:
            data[:0] = rng.choice((b"\xef\xbb\xbf", b" \n\t", b"\x0a", b"[", b"{", b"\0", b"\xff\xfe"))
        else:
            for _ in range(rng.randrange(1, 5)):
                if data:
                    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)
