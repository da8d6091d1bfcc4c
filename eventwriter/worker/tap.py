"""
Taps: rate-limited samples of the messages in a pipeline, for an operator.

A tap keeps its samples in bounded memory until they are fetched, and ends when nobody fetches them. Without a tap the
pipeline checks one attribute for each list and each batch.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from eventwriter import clock
from eventwriter.errors import Poison
from eventwriter.model import Message, Record
from eventwriter.pipeline.batch import Settled
from eventwriter.pipeline.decode import decode_message, subject_matches
from eventwriter.postgres.schema.conversions import json_value
from eventwriter.tables.redacted_text import displayable
from eventwriter.tables.table import RowBuilder, Table

log = logging.getLogger(__name__)

PAYLOAD_BYTES_MAX = 64 * 1024
"""Larger payloads are replaced by their size, because removing secrets from them would take milliseconds."""
CHARS_MAX = 4000
"""Characters shown of a payload, or of one value of a row."""
ROWS_MAX = 20
HEX_BYTES = 64
"""Bytes shown of a binary payload."""

TAPS_MAX = 8
LEASE_S = 10.0
"""A tap that was not fetched from for this long ends; clients fetch every second."""
SAMPLES_MAX = 200
"""Samples kept until they are fetched; further ones are dropped and counted."""
BYTES_MAX = 256 * 1024
SCANNED_MAX = 2000
"""Messages of one list or batch that a filter examines: at most half a millisecond."""

Sample = dict[str, Any]
SampleFn = Callable[[Message], Sample]
"""Makes a sample of a message, without redacted keys."""


def metadata(message: Message) -> Sample:
    """Return the fields that every sample has; of headers only the names, because values may be secret."""
    return {
        "subject": message.subject,
        "stream_seq": message.stream_seq,
        "at_ns": message.timestamp_ns,
        "num_delivered": message.num_delivered,
        "bytes": len(message.payload),
        "headers": sorted(message.headers) if message.headers else [],
    }


def raw_sample(message: Message, redact: frozenset[str]) -> Sample:
    """Return a sample with the message's payload."""
    return {**metadata(message), "payload": payload_text(message, redact)}


def dead_sample(message: Message, poison: Poison | None, redact: frozenset[str]) -> Sample:
    """Return a sample of a dead letter, with its reason."""
    why = {"reason": poison.reason, "error": poison.detail} if poison else {}
    return {**raw_sample(message, redact), **why}


def row_sample(
    message: Message,
    decode: Callable[[Message], list[Record]],
    builders: Sequence[tuple[Table, RowBuilder]],
) -> Sample:
    """Return a sample with the message's rows, without their NULL columns."""
    rows: list[dict[str, Any]] = []
    try:
        message, records = decode_message(decode, message)
        for index, record in enumerate(records):
            for table, build in builders:
                if len(rows) < ROWS_MAX and (values := build(record, message, index)):
                    rows.append({"table": table.name, "columns": columns(table, values)})
    except Poison as poison:  # possible only if the builders' configuration has changed since the message was decoded
        return {**metadata(message), "rows": rows, "error": poison.detail}
    return {**metadata(message), "rows": rows}


def columns(table: Table, values: Sequence[Any]) -> dict[str, Any]:
    """Return a row's columns by name."""
    named = zip(table.columns, values, strict=True)
    return {column.name: truncate_value(json_value(value, column.type)) for column, value in named if value is not None}


def payload_text(message: Message, redact: frozenset[str]) -> str:
    """Return a payload for display: JSON without redacted keys, other text unchanged, and binary data as hex."""
    payload = message.payload
    if len(payload) > PAYLOAD_BYTES_MAX:
        return f"not shown: {len(payload):,} bytes"
    text = displayable(message, redact)
    if text:
        return truncate(text)
    ellipsis = "…" if len(payload) > HEX_BYTES else ""
    return f"\\x{payload[:HEX_BYTES].hex()}{ellipsis}"


def truncate(text: str) -> str:
    """Return a text of at most `CHARS_MAX` characters."""
    return text if len(text) <= CHARS_MAX else f"{text[:CHARS_MAX]}… ({len(text):,} characters)"


def truncate_value(value: Any) -> Any:
    """Return a short value unchanged, and the beginning of a long value's text."""
    if isinstance(value, str):
        return truncate(value)
    if isinstance(value, Mapping | list) and len(text := orjson.dumps(value).decode()) > CHARS_MAX:
        return truncate(text)
    return value


@dataclass(slots=True)
class Tap:
    """
    One operator's tap. Written by the worker's event loop only.

    Attributes:
        stage: `raw`, `row` or `dead`.
        filter: Subject pattern, or a text that payloads must contain; None for all messages.
        per_s: Maximum number of samples a second.
        expires_s: When the lease ends, in monotonic seconds.
        refilled_s: When the tokens of the rate limit were last refilled, in monotonic seconds.
        seen: Messages that passed since the last fetch.
        left_out: Samples that were dropped since the last fetch for lack of room.
        samples: Size and sample, oldest first.
    """

    stage: str
    filter: str | None
    per_s: float
    expires_s: float
    refilled_s: float
    tokens: float = 1.0
    seen: int = 0
    left_out: int = 0
    kept_bytes: int = 0
    samples: deque[tuple[int, Sample]] = field(default_factory=deque)

    def take(self, now_s: float, messages: Sequence[Message], sample_fn: SampleFn) -> None:
        """Sample some of `messages`, as the rate limit and the room allow."""
        self.seen += len(messages)
        self.tokens = min(max(1.0, self.per_s), self.tokens + (now_s - self.refilled_s) * self.per_s)
        self.refilled_s = now_s
        for message in select(messages, int(self.tokens), self.filter):
            self.tokens -= 1
            if len(self.samples) >= SAMPLES_MAX or self.kept_bytes >= BYTES_MAX:
                self.left_out += 1
                continue
            sample = sample_fn(message)
            size = len(str(sample))
            self.samples.append((size, sample))
            self.kept_bytes += size

    def fetch(self, bytes_max: int) -> dict[str, Any]:
        """Return and remove the oldest samples that fit, with the counts since the last fetch."""
        taken, total = [], 0
        while self.samples and total + self.samples[0][0] <= bytes_max:
            size, sample = self.samples.popleft()
            total += size
            taken.append(sample)
        self.kept_bytes -= total
        seen, left_out, self.seen, self.left_out = self.seen, self.left_out, 0, 0
        return {"samples": taken, "seen": seen, "left_out": left_out}


def select(messages: Sequence[Message], count: int, pattern: str | None) -> Iterator[Message]:
    """
    Yield at most `count` messages: evenly spread, or with a pattern the first that match.

    Args:
        pattern: Subject pattern, or a text that payloads must contain.
    """
    if count <= 0 or not messages:
        return
    if pattern is None:
        step = max(1, -(-len(messages) // count))
        yield from messages[::step]
        return
    text = pattern.encode()
    for message in messages[:SCANNED_MAX]:
        if subject_matches(pattern, message.subject) or text in message.payload:
            yield message
            count -= 1
            if count == 0:
                return


class Taps:
    """
    All taps of one worker. Written by its event loop only.

    Args:
        sampler: Returns the sample function for a stage; called each time, because the session may have changed.
    """

    def __init__(self, sampler: Callable[[str, Settled | None], SampleFn]) -> None:
        self._sampler = sampler
        self._taps: dict[str, Tap] = {}

    def is_empty(self) -> bool:
        """Return whether no tap is open."""
        return not self._taps

    def serve(self, command: Mapping[str, Any], bytes_max: int) -> dict[str, Any]:
        """
        Open a tap if its id is new, and fetch from it; or close it and return the rest.

        Raises:
            ValueError: Too many taps are open.
        """
        now_s, tap_id = clock.monotonic_s(), str(command["tap"])
        self.expire(now_s)
        if command.get("end"):
            tap = self._taps.pop(tap_id, None)
            return tap.fetch(bytes_max) if tap else {"samples": [], "seen": 0, "left_out": 0}
        if tap_id not in self._taps:
            if len(self._taps) >= TAPS_MAX:
                raise ValueError(f"{TAPS_MAX} taps are already open on this worker; close one, or try again later")
            log.info("tap opened", extra={"stage": command["stage"]})  # for auditing: a tap shows payloads
            self._taps[tap_id] = Tap(command["stage"], command["filter"], command["per_s"], now_s, now_s)
        tap = self._taps[tap_id]
        tap.expires_s = now_s + LEASE_S
        return tap.fetch(bytes_max)

    def expire(self, now_s: float) -> None:
        """Close the taps that nobody fetches from."""
        for tap_id in [tap_id for tap_id, tap in self._taps.items() if now_s >= tap.expires_s]:
            del self._taps[tap_id]

    def on_received(self, messages: Sequence[Message]) -> None:
        """Sample messages that were received, before they are decoded."""
        now_s = clock.monotonic_s()
        for tap in self._taps.values():
            if tap.stage == "raw":
                tap.take(now_s, messages, self._sampler("raw", None))

    def on_settled(self, settled: Settled) -> None:
        """Sample the rows and the dead letters of a committed batch."""
        now_s, batch = clock.monotonic_s(), settled.batch
        for tap in self._taps.values():
            if tap.stage == "dead":
                dead = [batch.messages[position] for position in sorted(batch.dead)]
                tap.take(now_s, dead, self._sampler("dead", settled))
            elif tap.stage == "row":
                excluded = batch.dead.keys() | batch.ignored
                written = (
                    [m for at, m in enumerate(batch.messages) if at not in excluded] if excluded else batch.messages
                )
                tap.take(now_s, written, self._sampler("row", settled))
