"""Taps: samples in bounded memory, and how a sampled message is shown."""

import base64
import json
from typing import Any

import pytest

from eventwriter.errors import Poison
from eventwriter.kinds.registry import kind
from eventwriter.model import Adjustments, Message, Origin, Outcome
from eventwriter.pipeline.batch import Batch, Settled
from eventwriter.tables.redacted_text import WITHHELD
from eventwriter.tables.table import Build
from eventwriter.worker import tap
from eventwriter.worker.tap import (
    CHARS_MAX,
    LEASE_S,
    PAYLOAD_BYTES_MAX,
    SAMPLES_MAX,
    SCANNED_MAX,
    TAPS_MAX,
    Tap,
    Taps,
    dead_sample,
    payload_text,
    raw_sample,
    row_sample,
    select,
)

NO_LIMIT = 1_000_000
REDACT = frozenset({"community", "pin"})


def message(seq: int, subject: str = "a.b", payload: bytes = b"{}") -> Message:
    return Message(f"reply.{seq}", subject, payload, None, seq, seq, 1, 1_700_000_000_000_000_000)


def with_payload(payload: bytes) -> Message:
    return message(7, "telemetry.a", payload)


HUNDRED = [message(n, "a.odd" if n % 2 else "a.even", b"x%d" % n) for n in range(100)]


@pytest.mark.parametrize(
    ("count", "pattern", "expected"),
    [
        pytest.param(0, None, [], id="none"),
        pytest.param(4, None, [0, 25, 50, 75], id="evenly spread"),
        pytest.param(100, None, list(range(100)), id="all"),
        pytest.param(500, None, list(range(100)), id="more than there are"),
        pytest.param(3, "a.odd", [1, 3, 5], id="subject"),
        pytest.param(3, "*.even", [0, 2, 4], id="subject pattern"),
        pytest.param(3, "x99", [99], id="text in payload"),
        pytest.param(3, "nowhere", [], id="no match"),
    ],
)
def test_selected_messages_are_spread_or_match(count: int, pattern: str | None, expected: list[int]) -> None:
    """Without a pattern the selection is evenly spread; with one it has the first messages that match."""
    assert expected == [selected.stream_seq for selected in select(HUNDRED, count, pattern)]


def test_filter_examines_limited_number_of_messages() -> None:
    """A filter stops after a limited number of messages."""
    many = [message(n) for n in range(SCANNED_MAX + 10)] + [message(7, payload=b"needle")]

    assert [] == list(select(many, 1, "needle"))


def new_tap(per_s: float = 10.0) -> Tap:
    return Tap("raw", None, per_s, expires_s=100.0, refilled_s=0.0)


def seq_sample(sampled: Message) -> dict[str, Any]:
    return {"seq": sampled.stream_seq}


def test_tap_keeps_its_rate() -> None:
    """A tap takes its configured number of samples a second, however many messages pass."""
    sampling = new_tap(per_s=5.0)
    for tenth in range(100):
        sampling.take(tenth / 10, HUNDRED, seq_sample)

    fetched = sampling.fetch(NO_LIMIT)
    assert 10_000 == fetched["seen"]
    assert 45 <= len(fetched["samples"]) <= 55


def test_unfetched_tap_drops_new_samples() -> None:
    """Samples without room are dropped and counted; the oldest are kept."""
    sampling = new_tap(per_s=100.0)
    for second in range(1, 11):
        sampling.take(float(second), HUNDRED, seq_sample)

    fetched = sampling.fetch(NO_LIMIT)
    assert (SAMPLES_MAX, 1000 - SAMPLES_MAX) == (len(fetched["samples"]), fetched["left_out"])
    assert {"samples": [], "seen": 0, "left_out": 0} == sampling.fetch(NO_LIMIT)


def test_tap_is_limited_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large samples reach the limit in bytes before the limit in samples."""
    monkeypatch.setattr(tap, "BYTES_MAX", 1000)
    sampling = new_tap(per_s=100.0)
    sampling.take(1.0, HUNDRED, lambda _: {"payload": "x" * 400})

    assert 3 == len(sampling.samples)


def test_fetch_returns_what_fits() -> None:
    """Samples that do not fit into one answer are in the next."""
    sampling = new_tap(per_s=100.0)
    sampling.take(1.0, HUNDRED[:10], lambda _: {"payload": "x" * 100})

    first, second = sampling.fetch(600), sampling.fetch(NO_LIMIT)
    assert (True, 10) == (0 < len(first["samples"]) < 10, len(first["samples"]) + len(second["samples"]))


class FakeClock:
    """A clock that the test advances."""

    now_s = 50.0

    def monotonic_s(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake = FakeClock()
    monkeypatch.setattr(tap, "clock", fake)
    return fake


def command(tap_id: str = "a", stage: str = "raw", **more: Any) -> dict[str, Any]:
    return {"tap": tap_id, "stage": stage, "filter": None, "per_s": 100.0, **more}


def sampler(stage: str, _settled: Settled | None) -> Any:
    return lambda sampled: {"stage": stage, "seq": sampled.stream_seq}


def test_tap_expires_without_fetches(clock: FakeClock) -> None:
    """A tap ends with its lease, which each fetch renews."""
    taps = Taps(sampler)
    for _ in range(3):
        taps.serve(command(), NO_LIMIT)
        clock.now_s += LEASE_S - 0.1
        taps.expire(clock.now_s)
        assert not taps.is_empty()
    clock.now_s += 0.1
    taps.expire(clock.now_s)

    assert taps.is_empty()


def test_closed_tap_returns_remaining_samples(clock: FakeClock) -> None:
    """Closing a tap returns its samples; closing an unknown tap returns none."""
    taps = Taps(sampler)
    taps.serve(command(), NO_LIMIT)
    taps.on_received(HUNDRED[:1])

    assert [{"stage": "raw", "seq": 0}] == taps.serve(command(end=True), NO_LIMIT)["samples"]
    assert taps.is_empty()
    assert [] == taps.serve(command("b", end=True), NO_LIMIT)["samples"]


def test_number_of_taps_is_limited(clock: FakeClock) -> None:
    """A tap beyond the limit is refused; open taps continue."""
    taps = Taps(sampler)
    for n in range(TAPS_MAX):
        taps.serve(command(str(n)), NO_LIMIT)

    with pytest.raises(ValueError, match=str(TAPS_MAX)):
        taps.serve(command("more"), NO_LIMIT)
    taps.serve(command("0"), NO_LIMIT)


def test_each_stage_samples_its_messages(clock: FakeClock) -> None:
    """`raw` samples arrivals, `row` written messages, `dead` dead letters; ignored messages are in neither."""
    batch = Batch(1)
    batch.messages.extend(HUNDRED[:4])
    batch.dead[1] = Poison("malformed", "not JSON")
    batch.ignored.add(2)
    outcomes = [Outcome.WRITTEN, Outcome.DEAD, Outcome.IGNORED, Outcome.WRITTEN]
    taps = Taps(sampler)
    stages = ("raw", "row", "dead")
    for stage in stages:
        taps.serve(command(stage, stage), NO_LIMIT)
    clock.now_s += 1.0
    taps.on_received(HUNDRED[:2])
    taps.on_settled(Settled(batch, outcomes, 0, 0))

    served = {stage: taps.serve(command(stage, stage), NO_LIMIT)["samples"] for stage in stages}
    seqs = {stage: [sample["seq"] for sample in samples] for stage, samples in served.items()}
    assert {"raw": [0, 1], "row": [0, 3], "dead": [1]} == seqs


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param(b'{"a": 1}', '{"a": 1}', id="JSON is unchanged"),
        pytest.param(b'{"a":1,"community":"public"}', '{"a":1}', id="redacted key"),
        pytest.param(b'{"a":{"b":[{"PIN":1234,"c":2}]}}', '{"a":{"b":[{"c":2}]}}', id="nested redacted key"),
        pytest.param(b'[{"community":"public"},{"a":1}]', '[{},{"a":1}]', id="list"),
        pytest.param(b'{"text":"{\\"pin\\": 1234, \\"b\\": 2}"}', '{"text":"{\\"b\\":2}"}', id="JSON in JSON"),
        pytest.param(b"plain words", "plain words", id="text"),
        pytest.param(b'{"community": "public", broken', WITHHELD, id="broken JSON with a redacted key"),
        pytest.param(b"\x00\x01\xff", "\\x0001ff", id="bytes"),
        pytest.param(b"\x0a\x09community\x12\x06public", WITHHELD, id="bytes with a redacted key"),
        pytest.param(b"\xff" * 100, "\\x" + "ff" * 64 + "…", id="many bytes"),
        pytest.param(b"", "\\x", id="empty"),
        pytest.param(b" " * (PAYLOAD_BYTES_MAX + 1), "not shown: 65,537 bytes", id="too large"),
        pytest.param(b"x" * 5000, "x" * CHARS_MAX + "… (5,000 characters)", id="long text"),
        pytest.param(b"evil \x1b[2J", "\\x6576696c201b5b324a", id="terminal escape sequence"),
    ],
)
def test_payload_is_shown_without_redacted_keys(payload: bytes, expected: str) -> None:
    """The values of redacted keys are not shown, whatever the payload is."""
    assert expected == payload_text(with_payload(payload), REDACT)


def test_redacted_key_in_base64_is_removed() -> None:
    """The base64 data of a CloudEvent is redacted as well."""
    inner = base64.b64encode(b'{"community":"public","a":1}').decode()
    text = payload_text(with_payload(json.dumps({"specversion": "1.0", "data_base64": inner}).encode()), REDACT)

    assert ("public" in text, inner in text, '"a":1' in text) == (False, False, True)


@pytest.mark.parametrize("payload", [b'{"a":' * 200 + b"1" + b"}" * 200, b"[" * 5000 + b"]" * 5000, b"\xef\xbb\xbf{}"])
def test_unusual_payload_does_not_raise(payload: bytes) -> None:
    """No payload makes a tap raise, because that would end the pipeline."""
    assert isinstance(payload_text(with_payload(payload), REDACT), str)


def test_header_values_are_not_shown() -> None:
    """Of headers only the names are shown, because values may be tokens."""
    sample = raw_sample(message(7)._replace(headers={"Authorization": "Bearer hunter2", "A": "1"}), REDACT)

    assert (["A", "Authorization"], False) == (sample["headers"], "hunter2" in str(sample))


def test_dead_letter_is_shown_with_reason() -> None:
    """The sample of a dead letter has its reason and its payload."""
    sample = dead_sample(with_payload(b"garbage"), Poison("malformed", "not JSON"), REDACT)

    assert ("malformed", "not JSON", "garbage", 7) == (
        sample["reason"], sample["error"], sample["payload"], sample["stream_seq"],
    )  # fmt: skip


def test_row_is_shown_with_its_columns() -> None:
    """The slot's row builders make the sampled rows, without NULL columns and redacted keys."""
    telemetry = kind("telemetry")
    (table,) = telemetry.tables
    columns = frozenset(column.name for column in table.columns)
    build = table.builder(Build(Origin("s", 0, 0), Adjustments(), columns, "1.3.0", REDACT, {"consumer": "c"}))
    payload = b'{"name":"cpu","value":0.5,"metadata":{"community":"public","n":1}}'

    sample = row_sample(with_payload(payload), telemetry.decode, [(table, build)])

    (row,) = sample["rows"]
    assert "timeseries_metrics" == row["table"]
    assert ("cpu", 0.5, {"n": 1}) == tuple(row["columns"][key] for key in ("metric_name", "value", "metadata"))
    assert None not in row["columns"].values()
    assert str(row["columns"]["timestamp"]).startswith("2023-11-14T22:13:20")
