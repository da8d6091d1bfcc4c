"""How a tapped message is shown, and what is not."""

import json
from typing import Any

import pytest

from eventwriter.errors import Poison
from eventwriter.kinds.registry import kind
from eventwriter.model import Adjustments, Message, Origin
from eventwriter.tables.table import Build
from eventwriter.worker.tap import CHARS_MAX, HIDDEN, PAYLOAD_BYTES_MAX, dead, payload_text, raw, row

REDACT = frozenset({"community", "pin"})


def message(payload: bytes, **more: Any) -> Message:
    return Message("r", "telemetry.a", payload, None, 7, 7, 1, 1_700_000_000_000_000_000)._replace(**more)


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        pytest.param(b'{"a": 1}', '{"a": 1}', id="JSON as it came"),
        pytest.param(b'{"a":1,"community":"public"}', '{"a":1}', id="a secret"),
        pytest.param(b'{"a":{"b":[{"PIN":1234,"c":2}]}}', '{"a":{"b":[{"c":2}]}}', id="a secret deep down"),
        pytest.param(b'[{"community":"public"},{"a":1}]', '[{},{"a":1}]', id="a list"),
        pytest.param(b'{"text":"{\\"pin\\": 1234, \\"b\\": 2}"}', '{"text":"{\\"b\\":2}"}', id="JSON in JSON"),
        pytest.param(b"plain words", "plain words", id="text"),
        pytest.param(b'{"community": "public", broken', HIDDEN, id="no JSON, with a secret's key"),
        pytest.param(b"\x00\x01\xff", "\\x0001ff", id="bytes"),
        pytest.param(b"\x0a\x09community\x12\x06public", HIDDEN, id="bytes with a secret's key"),
        pytest.param(b"\xff" * 100, "\\x" + "ff" * 64 + "…", id="many bytes"),
        pytest.param(b"", "\\x", id="nothing"),
        pytest.param(b" " * (PAYLOAD_BYTES_MAX + 1), "not shown: 65,537 bytes", id="too large to read"),
        pytest.param(b"x" * 5000, "x" * CHARS_MAX + "… (5,000 characters)", id="long"),
        pytest.param(b"evil \x1b[2J", "\\x6576696c201b5b324a", id="a terminal's commands"),
    ],
)
def test_payload_is_shown_without_secrets(payload: bytes, shown: str) -> None:
    """Whatever a payload is, what `redact` names cannot be read in what is shown of it."""
    assert shown == payload_text(message(payload), REDACT)


def test_secret_in_base64_is_found() -> None:
    """A CloudEvent's data in base64 is looked into as well."""
    import base64

    inner = base64.b64encode(b'{"community":"public","a":1}').decode()
    shown = payload_text(message(json.dumps({"specversion": "1.0", "data_base64": inner}).encode()), REDACT)

    assert ("public" in shown, inner in shown, '"a":1' in shown) == (False, False, True)


@pytest.mark.parametrize("payload", [b'{"a":' * 200 + b"1" + b"}" * 200, b"[" * 5000 + b"]" * 5000, b"\xef\xbb\xbf{}"])
def test_odd_payloads_do_not_raise(payload: bytes) -> None:
    """A tap never takes the line with it."""
    assert isinstance(payload_text(message(payload), REDACT), str)


def test_headers_are_named_without_their_values() -> None:
    """A header may carry a token; only its name is shown."""
    shown = raw(message(b"{}", headers={"Authorization": "Bearer hunter2", "A": "1"}), REDACT)

    assert (["A", "Authorization"], False) == (shown["headers"], "hunter2" in str(shown))


def test_dead_letter_has_its_reason() -> None:
    """What became a dead letter is shown with its reason."""
    shown = dead(message(b"garbage"), Poison("malformed", "no JSON"), REDACT)

    assert ("malformed", "no JSON", "garbage", 7) == (
        shown["reason"], shown["error"], shown["payload"], shown["stream_seq"],
    )  # fmt: skip


def test_row_has_its_columns_as_the_database_shows_them() -> None:
    """Rows are made by the slot's own builders; columns that stay NULL are left out, and so are secrets."""
    telemetry = kind("telemetry")
    (table,) = telemetry.tables
    columns = frozenset(column.name for column in table.columns)
    build = table.builder(Build(Origin("s", 0, 0), Adjustments(), columns, "1.3.0", REDACT, {"consumer": "c"}))
    payload = b'{"name":"cpu","value":0.5,"metadata":{"community":"public","n":1}}'

    shown = row(message(payload), telemetry.decode, [(table, build)])

    ((made,),) = ((one for one in shown["rows"]),)
    assert "timeseries_metrics" == made["table"]
    assert ("cpu", 0.5, {"n": 1}) == tuple(made["columns"][key] for key in ("metric_name", "value", "metadata"))
    assert None not in made["columns"].values()
    assert str(made["columns"]["timestamp"]).startswith("2023-11-14T22:13:20")
