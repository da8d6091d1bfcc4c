"""Taps: samples of what passes, in bounded memory."""

from typing import Any

import pytest

from eventwriter.errors import Poison
from eventwriter.model import Message, Outcome
from eventwriter.pipeline.batch import Batch, Settled
from eventwriter.worker import tap
from eventwriter.worker.tap import LEASE_S, SAMPLES_MAX, SCANNED_MAX, TAPS_MAX, Tap, Taps, chosen

PLENTY = 1_000_000


def message(seq: int, subject: str = "a.b", payload: bytes = b"{}") -> Message:
    return Message(f"reply.{seq}", subject, payload, None, seq, seq, 1, 0)


def seqs(messages: Any) -> list[int]:
    return [one.stream_seq for one in messages]


HUNDRED = [message(n, "a.odd" if n % 2 else "a.even", b"x%d" % n) for n in range(100)]


@pytest.mark.parametrize(
    ("count", "wanted", "expected"),
    [
        pytest.param(0, None, [], id="none"),
        pytest.param(4, None, [0, 25, 50, 75], id="spread"),
        pytest.param(100, None, list(range(100)), id="as many as there are"),
        pytest.param(500, None, list(range(100)), id="more than there are"),
        pytest.param(3, "a.odd", [1, 3, 5], id="a subject"),
        pytest.param(3, "*.even", [0, 2, 4], id="a pattern"),
        pytest.param(3, "x99", [99], id="a text"),
        pytest.param(3, "nowhere", [], id="nothing"),
    ],
)
def test_samples_are_spread_or_wanted(count: int, wanted: str | None, expected: list[int]) -> None:
    """Without a filter samples are spread over all that came; with one they are the first that it means."""
    assert expected == seqs(chosen(HUNDRED, count, wanted))


def test_filter_looks_at_a_bounded_number() -> None:
    """However many came at once, a filter ends its search."""
    many = [message(n) for n in range(SCANNED_MAX + 10)] + [message(7, payload=b"needle")]

    assert [] == list(chosen(many, 1, "needle"))


def fresh(per_s: float = 10.0, wanted: str | None = None) -> Tap:
    return Tap("raw", wanted, per_s, due_s=100.0, filled_s=0.0)


def drawn(one: Message) -> dict[str, Any]:
    return {"seq": one.stream_seq}


def test_rate_is_kept() -> None:
    """A tap takes as many a second as it may, whatever passes."""
    one = fresh(per_s=5.0)
    for tenth in range(100):
        one.take(tenth / 10, HUNDRED, drawn)

    taken = one.fetch(PLENTY)
    assert 10_000 == taken["seen"]
    assert 45 <= len(taken["samples"]) <= 55


def test_tap_that_is_not_fetched_from_keeps_a_bounded_number() -> None:
    """What there is no room for is left out and counted, and what is kept stays the oldest."""
    one = fresh(per_s=100.0)
    for second in range(1, 11):
        one.take(float(second), HUNDRED, drawn)

    taken = one.fetch(PLENTY)
    assert (SAMPLES_MAX, 1000 - SAMPLES_MAX) == (len(taken["samples"]), taken["left_out"])
    assert {"samples": [], "seen": 0, "left_out": 0} == one.fetch(PLENTY)


def test_large_samples_fill_a_tap_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is in bytes as well as in samples."""
    monkeypatch.setattr(tap, "BYTES_MAX", 1000)
    one = fresh(per_s=100.0)
    one.take(1.0, HUNDRED, lambda _: {"payload": "x" * 400})

    assert 3 == len(one.samples)


def test_answer_is_as_long_as_fits() -> None:
    """What does not fit into one answer comes with the next."""
    one = fresh(per_s=100.0)
    one.take(1.0, HUNDRED[:10], lambda _: {"payload": "x" * 100})

    first, second = one.fetch(600), one.fetch(PLENTY)
    assert (True, 10) == (0 < len(first["samples"]) < 10, len(first["samples"]) + len(second["samples"]))


class Clock:
    """Seconds that stand still until they are moved."""

    now_s = 50.0

    def monotonic_s(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(tap, "clock", made)
    return made


def command(tap_id: str = "a", stage: str = "raw", **more: Any) -> dict[str, Any]:
    return {"tap": tap_id, "stage": stage, "filter": None, "per_s": 100.0, **more}


def drawing(stage: str, _settled: Settled | None) -> Any:
    return lambda one: {"stage": stage, "seq": one.stream_seq}


def test_tap_ends_when_nobody_fetches(clock: Clock) -> None:
    """Without fetches its lease ends; each fetch renews it."""
    taps = Taps(drawing)
    for _ in range(3):
        taps.serve(command(), PLENTY)
        clock.now_s += LEASE_S - 0.1
        taps.lapse(clock.now_s)
        assert not taps.is_empty()
    clock.now_s += 0.1
    taps.lapse(clock.now_s)

    assert taps.is_empty()


def test_end_gives_the_rest(clock: Clock) -> None:
    """The last fetch has what was taken, and the tap is gone; an unknown one ends as well."""
    taps = Taps(drawing)
    taps.serve(command(), PLENTY)
    taps.arrived(HUNDRED[:1])

    assert [{"stage": "raw", "seq": 0}] == taps.serve(command(end=True), PLENTY)["samples"]
    assert taps.is_empty()
    assert [] == taps.serve(command("b", end=True), PLENTY)["samples"]


def test_taps_are_limited(clock: Clock) -> None:
    """More operators than is sensible are refused; those who have a tap go on."""
    taps = Taps(drawing)
    for n in range(TAPS_MAX):
        taps.serve(command(str(n)), PLENTY)

    with pytest.raises(ValueError, match="open on this worker already"):
        taps.serve(command("more"), PLENTY)
    taps.serve(command("0"), PLENTY)


def test_each_stage_sees_its_own(clock: Clock) -> None:
    """Of a settled batch rows and dead letters are told apart; what is ignored is neither; raw is what arrived."""
    batch = Batch(1)
    batch.messages.extend(HUNDRED[:4])
    batch.dead[1] = Poison("malformed", "no JSON")
    batch.ignored.add(2)
    outcomes = [Outcome.WRITTEN, Outcome.DEAD, Outcome.IGNORED, Outcome.WRITTEN]
    taps = Taps(drawing)
    stages = ("raw", "row", "dead")
    for stage in stages:
        taps.serve(command(stage, stage), PLENTY)
    clock.now_s += 1.0
    taps.arrived(HUNDRED[:2])
    taps.settled(Settled(batch, outcomes, 0, 0))

    found = {stage: seqs_of(taps.serve(command(stage, stage), PLENTY)) for stage in stages}
    assert {"raw": [0, 1], "row": [0, 3], "dead": [1]} == found


def seqs_of(served: dict[str, Any]) -> list[int]:
    return [one["seq"] for one in served["samples"]]
