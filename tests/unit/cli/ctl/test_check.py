"""The verdict of `eventwriter-ctl check`."""

from typing import Any

import pytest

from eventwriter.cli.ctl.check import CRITICAL, OK, WARNING, Threshold, evaluate, metrics, performance

LIMITS = {
    "lag": Threshold(1000, 10_000),
    "lag_age": Threshold(60, 600),
    "stall": Threshold(30, 120),
    "dead": Threshold(1, None),
}


def slot(**more: Any) -> dict[str, Any]:
    return {
        "state": "running", "worker_state": "running", "lag_messages": 5, "stalled_s": 1.0, "dead_letters_last_hour": 0,
        **more,
    }  # fmt: skip


def picture(
    *slots: dict[str, Any], status: str = "healthy", reason: str | None = None, **totals: Any
) -> dict[str, Any]:
    known = {"lag_messages": 5, "lag_s": 0.5, "messages_total": 100, "rows_total": 99, **totals}
    return {"status": status, "reason": reason, "slots": list(slots) or [slot()], "totals": known}


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        pytest.param(picture(), OK, [], id="well"),
        pytest.param(
            picture(status="degraded", reason="A/0: draining"), WARNING, ["degraded: A/0: draining"], id="degraded"
        ),
        pytest.param(picture(status="failing", reason="A/0: x"), CRITICAL, ["failing: A/0: x"], id="failing"),
        pytest.param(picture(lag_messages=1000), WARNING, ["1,000 messages are waiting (warning from 1000)"], id="lag"),
        pytest.param(
            picture(lag_messages=10_000), CRITICAL, ["10,000 messages are waiting (critical from 10000)"], id="much lag"
        ),
        pytest.param(picture(lag_messages=None, lag_s=None), OK, [], id="lag unknown"),
        pytest.param(
            picture(lag_s=61.2), WARNING, ["the oldest waiting message is 61 s old (warning from 60s)"], id="age"
        ),
        pytest.param(
            picture(slot(), slot(stalled_s=120.0)),
            CRITICAL,
            ["no message was settled for 120 s while messages are waiting (critical from 120s)"],
            id="stall of one slot",
        ),
        pytest.param(picture(slot(stalled_s=500.0, lag_messages=0)), OK, [], id="nothing to do is no stall"),
        pytest.param(picture(slot(stalled_s=500.0, worker_state="paused")), OK, [], id="a pause is no stall"),
        pytest.param(
            picture(slot(dead_letters_last_hour=2), slot(dead_letters_last_hour=1)),
            WARNING,
            ["3 dead letters within the last hour (warning from 1)"],
            id="dead letters of all slots",
        ),
    ],
)
def test_worst_finding_decides(given: dict[str, Any], code: int, words: list[str]) -> None:
    """The exit code is that of the worst, and each finding has its sentence."""
    assert (code, words) == evaluate(given, LIMITS)


def test_performance_data_has_values_units_and_thresholds() -> None:
    """Figures come in the form that monitoring systems draw."""
    assert "lag=5;1000;10000 lag_age=0.5s;60;600 stall=1s;30;120 dead=0;1; messages=100c rows=99c" == performance(
        picture(), LIMITS
    )
    assert performance(picture(lag_messages=None), LIMITS).startswith("lag=U;")


def test_figures_are_written_out() -> None:
    """Large metrics and thresholds have no exponent, and times no more than two decimals."""
    limits = {**LIMITS, "lag": Threshold(1_000_000, 25_000_000)}
    given = picture(lag_messages=12_345_678, lag_s=0.0738813)

    assert performance(given, limits).startswith("lag=12345678;1000000;25000000 lag_age=0.07s;")
    assert "12,345,678 messages are waiting (warning from 1000000)" in evaluate(given, limits)[1]


def test_every_threshold_has_a_figure() -> None:
    """What can be limited is what is measured."""
    assert set(LIMITS) == set(metrics(picture()))
