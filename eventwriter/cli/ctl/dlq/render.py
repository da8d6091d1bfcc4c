"""Dead letters as text for a terminal and as plain JSON. Pure."""

import base64
import datetime as dt
from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from eventwriter.admin.dlq.replay import DEAD, KILLER, REFUSED, WRITTEN
from eventwriter.model import Message
from eventwriter.postgres.dead_letters.store import DeadLetter, ReasonCount
from eventwriter.tables.redacted_text import displayable

HEX_LINE_BYTES = 16
NO_REASON = "–"


def table(found: list[DeadLetter]) -> Table:
    """Render each dead letter on one line within 80 columns."""
    rows = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, expand=True)
    for title, width in (("id", 12), ("written (UTC)", 14), ("from", 20), ("reason", 13), ("state", 8)):
        rows.add_column(title, no_wrap=True, max_width=width)
    rows.add_column("detail", no_wrap=True, overflow="ellipsis", ratio=1)
    for letter in found:
        rows.add_row(
            str(letter.id), letter.created_at.astimezone(dt.UTC).strftime("%m-%d %H:%M:%S"),
            Text(f"{letter.stream} {letter.stream_seq}"), Text(letter.reason or ""), letter.state,
            Text(_one_line(letter.detail or "")),
        )  # fmt: skip
    return rows


def reasons_table(found: list[ReasonCount]) -> Table:
    """Render each reason on one line within 80 columns."""
    rows = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, expand=True)
    for title, justify in (("reason", "left"), ("count", "right"), ("newest (UTC)", "left"), ("id", "right")):
        rows.add_column(title, no_wrap=True, justify="right" if justify == "right" else "left")
    rows.add_column("example", no_wrap=True, overflow="ellipsis", ratio=1)
    for one in found:
        rows.add_row(
            Text(one.reason or NO_REASON), f"{one.count:,}", one.last_at.astimezone(dt.UTC).strftime("%m-%d %H:%M:%S"),
            str(one.newest_id), Text(_one_line(one.newest_detail or "")),
        )  # fmt: skip
    return rows


def counted(shown: int, total: int) -> str:
    """Return how many dead letters exist and how many are shown."""
    if total <= shown:
        return f"{total:,} dead letter{'' if total == 1 else 's'}" if total else "no dead letters"
    return f"the newest {shown:,} of {total:,} dead letters; use --limit to show more"


def replayed(counts: Counter[str], rows: int, left_out: int, dry: bool) -> str:
    """Return the summary of a replay."""
    done = counts[WRITTEN]
    if not sum(counts.values()):
        return "no new dead letters"
    parts = [f"{done:,} {'would be written' if dry else 'written'} ({rows:,} row{'' if rows == 1 else 's'})"]
    parts += [f"{counts[outcome]:,} {outcome}" for outcome in (DEAD, REFUSED, KILLER) if counts[outcome]]
    parts += [f"{counts['elsewhere']:,} locked by another replay"] * bool(counts["elsewhere"])
    if left_out:
        parts.append(f"{left_out:,} rows existed already (conflict rule of the table)")
    return "; ".join(parts) + ("; nothing was changed" if dry else "")


def plain(letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter as plain JSON without its payload."""
    return plain_fields({name: getattr(letter, name) for name in DeadLetter.__slots__ if name != "payload"})


def plain_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields as plain JSON, with times in UTC."""
    return {name: instant(value) if isinstance(value, dt.datetime) else value for name, value in fields.items()}


def instant(at: dt.datetime) -> str:
    """Return a time in UTC as ISO 8601."""
    return at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def payload(letter: DeadLetter, redact: frozenset[str]) -> Mapping[str, str]:
    """Return the payload under `text` without secrets, or under `base64` if it is not text."""
    text = text_of(letter, redact)
    return {"base64": base64.b64encode(letter.payload or b"").decode()} if text is None else {"text": text}


def text_of(letter: DeadLetter, redact: frozenset[str]) -> str | None:
    """Return the payload as text without secrets; None if it is binary data."""
    body = letter.payload or b""
    return displayable(Message("", letter.subject or "", body, letter.headers, letter.stream_seq, 1, 1, 0), redact)


def whole(letter: DeadLetter, redact: frozenset[str]) -> list[str]:
    """Return a dead letter as lines."""
    facts = {
        "dead letter": f"{letter.id}, {letter.state}"
        + (f" {instant(letter.replayed_at)}" if letter.replayed_at else ""),
        "reason": letter.reason,
        "detail": letter.detail,
        "SQLSTATE": letter.sqlstate,
        "written": instant(letter.created_at),
        "last replay": letter.replay_tried_at
        and f"{instant(letter.replay_tried_at)}{f', {letter.replay_error}' if letter.replay_error else ''}",
        "stream": f"{letter.stream}, created {instant(letter.incarnation)}, epoch {letter.epoch}",
        "sequence": letter.stream_seq,
        "subject": letter.subject,
        "stored": letter.message_timestamp and instant(letter.message_timestamp),
        "deliveries": letter.num_deliveries,
        "consumer": letter.consumer,
        "kind": letter.kind,
    }
    lines = [f"{name:<12}{value}" for name, value in facts.items() if value is not None]
    lines += [f"{'header':<12}{name}: {value}" for name, value in headers(letter, redact).items()]
    return [*lines, "", *payload_lines(letter, redact)]


def headers(letter: DeadLetter, redact: frozenset[str]) -> dict[str, str]:
    """Return the headers of a dead letter, with secrets replaced by an ellipsis."""
    return {name: "…" if name.lower() in redact else value for name, value in (letter.headers or {}).items()}


def payload_lines(letter: DeadLetter, redact: frozenset[str]) -> list[str]:
    """Return a payload as lines of text or hexadecimal."""
    payload, text = letter.payload or b"", text_of(letter, redact)
    size = f"{len(payload):,} byte{'' if len(payload) == 1 else 's'}"
    if not payload:
        return ["payload: empty"]
    if text is not None:
        return [f"payload, {size}:", *(f"  {line}" for line in text.splitlines())]
    return [
        f"payload, {size}, not text:",
        *(_hex_line(at, payload[at : at + HEX_LINE_BYTES]) for at in range(0, len(payload), HEX_LINE_BYTES)),
    ]


def _hex_line(at: int, part: bytes) -> str:
    """Return one line of a hex dump: offset, bytes in pairs, printable ASCII."""
    printable = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
    return f"  {at:08x}  {part.hex(' ', -2):<39}  {printable}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
