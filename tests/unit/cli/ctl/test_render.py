"""Snapshots on terminals."""

from typing import Any

import pytest
from rich.console import Console

from eventwriter.cli.ctl.render import duration, millis, rate, render, short


def slot(**fields: Any) -> dict[str, Any]:
    """Return a slot with every figure at its widest."""
    return {
        "name": "OTEL_METRICS_OF_THE_WEST_WING/12", "state": "draining", "health": "degraded", "reason": "draining",
        "worker_state": "draining", "pid": 4194303, "uptime_s": 86400 * 99 + 3600 * 23, "messages_per_s": 99999.4,
        "rows_per_s": 9_999_999, "lag_messages": 9_999_999_999, "lag_s": 86400 * 99.0, "ack_pending": 99_999,
        "batch_messages_last": 5000, "batch_trigger_last": "bytes", "commit_p50_ms": 999.0, "commit_p99_ms": 30000.0,
        "dead_letters_total": 99_999, "restarts": 99_999, "last_error": None,
        "warnings": None, "storage": None, **fields,
    }  # fmt: skip


def picture(*slots: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a snapshot."""
    return {
        "status": "degraded", "reason": None, "version": "1.2.3", "pid": 1, "uptime_s": 5.0,
        "nats": {"connected": True, "workers": 3, "workers_connected": 3, "url": "nats://127.0.0.1:4222"},
        "postgres": {
            "connected": False, "workers": 3, "workers_connected": 0,
            "target": "127.0.0.1:5432/serviceradar as writer",
        },
        "totals": {"messages_total": 1234567, "messages_per_s": 0.0, "rows_total": 7, "rows_per_s": 3.25,
                   "dead_letters_total": 0, "lag_messages": None, "restarts": 2},
        "slots": list(slots), **fields,
    }  # fmt: skip


def drawn(given: dict[str, Any], columns: int) -> list[str]:
    """Return the lines of a rendering without colours."""
    console = Console(width=columns, color_system=None, highlight=False, no_color=True)
    with console.capture() as capture:
        console.print(render(given, columns))
    return capture.get().splitlines()


@pytest.mark.parametrize(("columns", "lines_per_slot"), [(80, 2), (140, 1)])
def test_widest_slots_fit(columns: int, lines_per_slot: int) -> None:
    """Even the widest figures neither wrap nor run over the terminal's edge."""
    quiet = slot(reason=None)
    one, three = drawn(picture(quiet), columns), drawn(picture(quiet, quiet, quiet), columns)

    assert max(len(line) for line in drawn(picture(slot(), slot(), slot()), columns) + three) <= columns
    assert 2 * lines_per_slot == len(three) - len(one)


def test_worker_without_a_batch_has_no_cause_of_one() -> None:
    """Where nothing was written yet there is a dash, not a batch of 0 messages."""
    lines = drawn(picture(slot(batch_messages_last=0, batch_trigger_last=None)), 80)

    assert 1 == sum("  batch –  commit" in line for line in lines)


@pytest.mark.parametrize(
    ("web", "line"),
    [
        ({"listening": True, "url": "http://127.0.0.1:8088/", "state": "running", "reason": None},
         "web        serving  http://127.0.0.1:8088/"),
        ({"listening": False, "url": "u", "state": "starting", "reason": "http.listen :1: taken"},
         "web        starting  http.listen :1: taken"),
        ({"listening": None, "url": None, "state": "backoff", "reason": "exit code 1"},
         "web        backoff  exit code 1"),
    ],
)  # fmt: skip
def test_web_child_says_where_it_is_or_why_not(web: dict[str, Any], line: str) -> None:
    """A configured web server has a line with its URL or its problem; otherwise there is no line."""
    assert line in drawn(picture(slot(), web=web), 80)
    assert not any(one.startswith("web") for one in drawn(picture(slot(), web=None), 80))


def test_long_name_keeps_its_partition() -> None:
    """Where a name is cut, stream and partition can still be told."""
    assert any(line.startswith("OTEL_METRICS_O…/12 ") for line in drawn(picture(slot()), 80))


@pytest.mark.parametrize(("next_s", "again"), [(1.24, "in 1.2s"), (None, "now")])
def test_open_circuit_says_how_often_it_was_tried(next_s: float | None, again: str) -> None:
    """A server that is waited for has a line of its own; one that works has none."""
    circuit = {"state": "open", "open_s": 12.0, "attempts": 7, "next_try_in_s": next_s, "reason": "gone"}
    given = picture(slot())
    given["postgres"]["circuit"] = circuit

    assert f"           7 failed attempts in 12s, next attempt {again}" in drawn(given, 80)
    assert not [line for line in drawn(picture(slot()), 80) if "tried" in line]


def test_figures_stand_under_their_titles() -> None:
    """Columns are right-aligned under their titles."""
    lines = drawn(picture(slot(name="A/0", dead_letters_total=7, restarts=3)), 80)
    head = next(line for line in lines if line.startswith("slot"))
    row = next(line for line in lines if line.startswith("A/0"))

    for title, value in (("dead", "7"), ("restarts", "3"), ("unacked", "99,999")):
        assert row[: head.index(title) + len(title)].endswith(value)


def test_header_says_what_is_known_and_what_not() -> None:
    """Servers, totals and the unknown are words, not colours."""
    lines = drawn(picture(reason="A/0: no NATS"), 80)

    assert "eventwriter 1.2.3  degraded  pid 1  up 5.0s" == lines[0]
    assert "A/0: no NATS" == lines[1]
    assert "NATS       connected  nats://127.0.0.1:4222" == lines[2]
    assert "PostgreSQL not connected  127.0.0.1:5432/serviceradar as writer" == lines[3]
    assert "total      1,234,567 messages (0/s), 7 rows (3.2/s)" == lines[4]
    assert "           0 dead letters, – waiting, 2 restarts" == lines[5]


def test_worker_that_only_starts_is_no_outage() -> None:
    """Where some workers have their connection, the header says how many."""
    some = {"connected": False, "workers": 3, "workers_connected": 2, "url": "nats://h:4222"}

    assert "NATS       2 of 3 workers connected  nats://h:4222" == drawn(picture(nats=some), 80)[1]


def test_waiting_worker_says_so() -> None:
    """A slot whose worker waits or is parked shows that instead of running."""
    lines = drawn(picture(slot(name="A/0", state="running", worker_state="parked", health="failing")), 80)

    assert any(line.startswith("A/0                parked ") for line in lines)


def test_worst_reason_is_said_once() -> None:
    """What the header says is not repeated below; what it does not say is."""
    text = "\n".join(
        drawn(
            picture(
                slot(name="A/0", reason="bad"), slot(name="B/0", reason="worse", last_error="boom"), reason="B/0: worse"
            ),
            80,
        )
    )

    assert (1, 1, 1) == (text.count("worse"), text.count("A/0 degraded: bad"), text.count("B/0 last error: boom"))


def test_warnings_are_said_once_for_all_their_slots() -> None:
    """What slots warn of, of columns or of storage, stands below with their names, once."""
    one = slot(name="A/0", reason=None, warnings=["table a lacks x"], storage={"warnings": ["9 rows in default"]})
    other = slot(name="A/1", reason=None, warnings=["table a lacks x"])

    lines = drawn(picture(one, other), 80)

    assert ["A/0, A/1 warning: table a lacks x", "A/0 warning: 9 rows in default"] == lines[-2:]


def test_slots_with_the_same_trouble_share_a_line() -> None:
    """What the header says of one slot is said of the others in one line, however many they are."""
    slots = [slot(name=f"S{n}/0", reason="no NATS", last_error="no NATS") for n in range(9)]
    lines = drawn(picture(*slots, reason="S2/0: no NATS"), 80)

    assert "S0/0, S1/0, S3/0, S4/0, S5/0, S6/0 and 2 more degraded, same as S2/0" == lines[-1]
    assert 1 == "\n".join(lines).count("no NATS")


def test_slots_with_another_problem_have_their_own_line() -> None:
    """A trouble that is not the header's is named with its slots; so is a last error."""
    slots = [slot(name=f"S{n}/0", reason="slow", last_error="boom") for n in range(2)]
    lines = drawn(picture(*slots, slot(name="T/0", reason="bad"), reason="T/0: bad"), 80)

    assert ["S0/0, S1/0 degraded: slow", "S0/0, S1/0 last error: boom"] == lines[-2:]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0"), (99_999, "99,999"), (100_000, "100k"), (9_999_999, "10,000k"), (10_000_000, "10M"),
     (9_999_999_999, "10,000M"), (10**10, "10G")],
)  # fmt: skip
def test_counts_are_shortened(value: int | None, text: str) -> None:
    """Counts stay within seven characters."""
    assert text == short(value)


@pytest.mark.parametrize(
    ("value_s", "text"),
    [(None, "–"), (-0.1, "0.0s"), (0.44, "0.4s"), (9.9, "9.9s"), (59.9, "59s"), (60, "1m00s"), (3599, "59m59s"),
     (3600, "1h00m"), (86399, "23h59m"), (86400, "1d00h"), (86400 * 9 + 3600 * 4, "9d04h")],
)  # fmt: skip
def test_durations_show_two_units(value_s: float | None, text: str) -> None:
    """A duration is said in its two largest units."""
    assert text == duration(value_s)


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (4.21, "4.2ms"), (180.4, "180ms"), (2500.0, "2.5s")])
def test_commit_times_have_units(value: float | None, text: str) -> None:
    """Commit times carry the unit that suits them."""
    assert text == millis(value)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.25, "0.2"), (9.96, "10.0"), (10.4, "10"), (123456.0, "123k")]
)
def test_rates_keep_a_decimal_where_it_matters(value: float, text: str) -> None:
    """A trickle does not show as zero."""
    assert text == rate(value)
