"""
Taps: a look at the messages that pass, for an operator, without holding them up.

A tap takes samples, a few a second, and keeps them until they are fetched: in bounded
memory, so that one that nobody reads costs nothing but what it left out; and it ends
when nobody fetches any more. Without a tap the line looks at one attribute, once a list
and once a batch.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from eventwriter import clock
from eventwriter.errors import Poison
from eventwriter.formats.json import dumps, loads_clean
from eventwriter.model import Message, Record
from eventwriter.pipeline.batch import Settled
from eventwriter.pipeline.decode import matches
from eventwriter.postgres.schema.conversions import json_value
from eventwriter.tables.raw_data import redactor
from eventwriter.tables.table import RowBuilder, Table
from eventwriter.tables.values import has_escaped_secret, secret_finder, without

PAYLOAD_BYTES_MAX = 64 * 1024
"""Of larger ones only the size is shown: reading one to leave secrets out would take milliseconds."""
CHARS_MAX = 4000
"""Of a payload, or of one value of a row."""
ROWS_MAX = 20
HEX_BYTES = 64
"""Shown of a payload that is no text."""

Sample = dict[str, Any]

HIDDEN = "not shown: a key of `redact` may be in it"


def head(message: Message) -> dict[str, Any]:
    """Return what every sample has: which message, when and how large; header names without their values."""
    return {
        "subject": message.subject,
        "stream_seq": message.stream_seq,
        "at_ns": message.timestamp_ns,
        "num_delivered": message.num_delivered,
        "bytes": len(message.payload),
        "headers": sorted(message.headers) if message.headers else [],
    }


def raw(message: Message, redact: frozenset[str]) -> dict[str, Any]:
    """Return a message as it came."""
    return {**head(message), "payload": payload_text(message, redact)}


def dead(message: Message, poison: Poison | None, redact: frozenset[str]) -> dict[str, Any]:
    """Return a message that became a dead letter, and why."""
    why = {"reason": poison.reason, "error": poison.detail} if poison else {}
    return {**raw(message, redact), **why}


def row(
    message: Message,
    decode: Callable[[Message], list[Record]],
    builders: Sequence[tuple[Table, RowBuilder]],
) -> dict[str, Any]:
    """Return a message's rows; columns that stay NULL are left out."""
    rows: list[dict[str, Any]] = []
    try:
        for index, record in enumerate(decode(message)):
            for table, build in builders:
                if len(rows) < ROWS_MAX and (values := build(record, message, index)) is not None:
                    rows.append({"table": table.name, "columns": columns(table, values)})
    except Poison as poison:  # only where the configuration of the builders has changed meanwhile
        return {**head(message), "rows": rows, "error": poison.detail}
    return {**head(message), "rows": rows}


def columns(table: Table, values: Sequence[Any]) -> dict[str, Any]:
    """Return a row's columns by name."""
    named = zip(table.columns, values, strict=True)
    return {column.name: cut_value(json_value(value, column.type)) for column, value in named if value is not None}


def payload_text(message: Message, redact: frozenset[str]) -> str:
    """Return a payload for people: JSON without secrets, other text as it is, anything else in part as hex."""
    payload = message.payload
    if len(payload) > PAYLOAD_BYTES_MAX:
        return f"not shown: {len(payload):,} bytes"
    try:
        text = payload.decode("utf-8-sig")
        value = loads_clean(text)
    except (Poison, ValueError):
        return _no_json(payload, redact)
    try:
        return cut(_clean(value, text, message, redact))
    except (Poison, ValueError):  # too deep to tell, or JSON only to a lenient parser
        return HIDDEN


def _clean(value: Any, text: str, message: Message, redact: frozenset[str]) -> str:
    sieve = redactor(redact)
    if isinstance(value, dict):
        kept: Any = sieve(value, message)
    elif isinstance(value, list):
        kept = [sieve(one, message) if isinstance(one, dict) else without(one, redact) for one in value]
    else:
        kept = without(value, redact)
    return text if kept == value and not has_escaped_secret(text, redact) else dumps(kept).decode()


def _no_json(payload: bytes, redact: frozenset[str]) -> str:
    if secret_finder(redact)(payload):
        return HIDDEN
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        text = ""
    if text and all(one.isprintable() or one in "\r\n\t" for one in text):
        return cut(text)
    shortened = "…" if len(payload) > HEX_BYTES else ""
    return f"\\x{payload[:HEX_BYTES].hex()}{shortened}"


def cut(text: str) -> str:
    """Return a text of at most `CHARS_MAX` characters."""
    return text if len(text) <= CHARS_MAX else f"{text[:CHARS_MAX]}… ({len(text):,} characters)"


def cut_value(value: Any) -> Any:
    """Return a value as it is where it is short, else as the beginning of its text."""
    if isinstance(value, str):
        return cut(value)
    if isinstance(value, Mapping | list) and len(text := orjson.dumps(value).decode()) > CHARS_MAX:
        return cut(text)
    return value


log = logging.getLogger(__name__)

TAPS_MAX = 8
LEASE_S = 10.0
"""A tap that was not fetched from for so long is gone; whoever reads it fetches every second."""
SAMPLES_MAX = 200
"""Kept at most until they are fetched; what comes then is left out."""
BYTES_MAX = 256 * 1024
SCANNED_MAX = 2000
"""Messages of one list or batch that a filter looks at: at most half a millisecond."""

Draw = Callable[[Message], Sample]
"""Makes a sample of a message, without what is never shown."""


@dataclass(slots=True)
class Tap:
    """
    One operator's tap. Written by the worker's event loop only.

    Attributes:
        stage: `raw`, `row` or `dead`.
        wanted: A pattern of subjects, or a text that payloads must have; None for all.
        per_s: Samples a second at most.
        due_s: When its lease ends: monotonic seconds, as every `_s` instant here.
    """

    stage: str
    wanted: str | None
    per_s: float
    due_s: float
    filled_s: float
    tokens: float = 1.0
    seen: int = 0
    left_out: int = 0
    kept_bytes: int = 0
    samples: deque[tuple[int, Sample]] = field(default_factory=deque)

    def take(self, now_s: float, messages: Sequence[Message], draw: Draw) -> None:
        """Sample these, as far as the rate and the room allow."""
        self.seen += len(messages)
        self.tokens = min(max(1.0, self.per_s), self.tokens + (now_s - self.filled_s) * self.per_s)
        self.filled_s = now_s
        for message in chosen(messages, int(self.tokens), self.wanted):
            self.tokens -= 1
            if len(self.samples) >= SAMPLES_MAX or self.kept_bytes >= BYTES_MAX:
                self.left_out += 1
                continue
            sample = draw(message)
            size = len(str(sample))
            self.samples.append((size, sample))
            self.kept_bytes += size

    def fetch(self, bytes_max: int) -> dict[str, Any]:
        """Return what was taken since the last time, oldest first, as much as fits."""
        taken, size = [], 0
        while self.samples and size + self.samples[0][0] <= bytes_max:
            one_size, one = self.samples.popleft()
            size += one_size
            taken.append(one)
        self.kept_bytes -= size
        seen, left_out, self.seen, self.left_out = self.seen, self.left_out, 0, 0
        return {"samples": taken, "seen": seen, "left_out": left_out}


def chosen(messages: Sequence[Message], count: int, wanted: str | None) -> Iterator[Message]:
    """Yield at most `count` messages, spread evenly over those that are there, or the first that are wanted."""
    if count <= 0 or not messages:
        return
    if wanted is None:
        step = max(1, -(-len(messages) // count))
        yield from messages[::step]
        return
    text = wanted.encode()
    for message in messages[:SCANNED_MAX]:
        if matches(wanted, message.subject) or text in message.payload:
            yield message
            count -= 1
            if count == 0:
                return


class Taps:
    """
    All taps of one worker. Written by its event loop only.

    Args:
        draws: For each stage, what makes a sample; asked at the moment, since the worker may bind anew.
    """

    def __init__(self, draws: Callable[[str, Settled | None], Draw]) -> None:
        self._draws = draws
        self._taps: dict[str, Tap] = {}

    def is_empty(self) -> bool:
        """Say whether there is none."""
        return not self._taps

    def serve(self, command: Mapping[str, Any], bytes_max: int) -> dict[str, Any]:
        """Open a tap where there is none of that id, and fetch from it; or end it."""
        now_s, tap_id = clock.monotonic_s(), str(command["tap"])
        self.lapse(now_s)
        if command.get("end"):
            tap = self._taps.pop(tap_id, None)
            return tap.fetch(bytes_max) if tap else {"samples": [], "seen": 0, "left_out": 0}
        if tap_id not in self._taps and len(self._taps) >= TAPS_MAX:
            raise ValueError(f"{TAPS_MAX} taps are open on this worker already")
        if tap_id not in self._taps:
            log.info("tap opened", extra={"stage": command["stage"]})  # somebody sees payloads: that is to be known
        tap = self._taps.setdefault(
            tap_id, Tap(command["stage"], command["filter"], command["per_s"], now_s + LEASE_S, now_s)
        )
        tap.due_s = now_s + LEASE_S
        return tap.fetch(bytes_max)

    def lapse(self, now_s: float) -> None:
        """End the taps that nobody fetches from."""
        for tap_id in [tap_id for tap_id, tap in self._taps.items() if now_s >= tap.due_s]:
            del self._taps[tap_id]

    def arrived(self, messages: Sequence[Message]) -> None:
        """Sample what was received, before anything is made of it."""
        now_s = clock.monotonic_s()
        for tap in self._taps.values():
            if tap.stage == "raw":
                tap.take(now_s, messages, self._draws("raw", None))

    def settled(self, settled: Settled) -> None:
        """Sample what was committed: rows of messages that became rows, reasons of those that did not."""
        now_s, batch = clock.monotonic_s(), settled.batch
        for tap in self._taps.values():
            if tap.stage == "dead":
                dead = [batch.messages[position] for position in sorted(batch.dead)]
                tap.take(now_s, dead, self._draws("dead", settled))
            elif tap.stage == "row":
                left = batch.dead.keys() | batch.ignored
                alive = [m for at, m in enumerate(batch.messages) if at not in left] if left else batch.messages
                tap.take(now_s, alive, self._draws("row", settled))
