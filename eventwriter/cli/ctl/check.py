"""
`eventwriter-ctl check`: one line and an exit code for monitoring systems.

Source: Monitoring Plugins Development Guidelines: exit codes, performance data.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from eventwriter.cli.ctl.common import lines, pass_client
from eventwriter.cli.output import echo, echo_json
from eventwriter.control.client import Client, Refused, Unreachable
from eventwriter.observe.escape import printable_line

OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
OF_STATUS = {"healthy": OK, "starting": WARNING, "degraded": WARNING, "failing": CRITICAL}


@dataclass(frozen=True, slots=True)
class Threshold:
    """Values from which a metric is a warning or critical; None for never."""

    warning: float | None
    critical: float | None

    def judge(self, value: float | None) -> int:
        """Return the exit code for a value; an unknown value is OK."""
        if value is None:
            return OK
        if self.critical is not None and value >= self.critical:
            return CRITICAL
        return WARNING if self.warning is not None and value >= self.warning else OK

    def as_performance_data(self) -> str:
        """Return both thresholds in the form of performance data."""
        return ";".join("" if bound is None else plain(bound) for bound in (self.warning, self.critical))


def metrics(snapshot: Mapping[str, Any]) -> dict[str, tuple[float | None, str]]:
    """Return the metrics that have thresholds: name → (value, unit in performance data)."""
    slots, totals = snapshot["slots"], snapshot["totals"]
    active = [slot for slot in slots if slot["worker_state"] != "paused" and slot["state"] != "stopped"]
    return {
        "lag": (totals["lag_messages"], ""),
        "lag_age": (totals["lag_s"], "s"),
        "stall": (max((slot["stalled_s"] for slot in active if slot["lag_messages"]), default=0.0), "s"),
        "dead": (sum(slot["dead_letters_last_hour"] for slot in slots), ""),
    }


def evaluate(snapshot: Mapping[str, Any], thresholds: Mapping[str, Threshold]) -> tuple[int, list[str]]:
    """Return the worst exit code and a sentence for each problem."""
    code, problems = (
        OF_STATUS[snapshot["status"]],
        [f"{snapshot['status']}: {snapshot['reason']}"] if snapshot["reason"] else [],
    )
    for name, (value, unit) in metrics(snapshot).items():
        level = thresholds[name].judge(value)
        bound = thresholds[name].critical if level == CRITICAL else thresholds[name].warning
        if level != OK and value is not None and bound is not None:
            problems.append(f"{SENTENCES[name](value)} ({WORDS[level].lower()} from {plain(bound)}{unit})")
        code = max(code, level)
    return code, problems


SENTENCES: Mapping[str, Callable[[float], str]] = {
    "lag": lambda value: f"{value:,.0f} messages are waiting",
    "lag_age": lambda value: f"the oldest waiting message is {value:.0f} s old",
    "stall": lambda value: f"no message was settled for {value:.0f} s while messages are waiting",
    "dead": lambda value: f"{value:,.0f} dead letters within the last hour",
}


def plain(value: float) -> str:
    """Return a number without an exponent, which some parsers of performance data reject."""
    return f"{round(value, 2):.15g}"


def performance(snapshot: Mapping[str, Any], thresholds: Mapping[str, Threshold]) -> str:
    """Return the metrics as performance data: `lag=0;1000;10000`."""
    parts = [
        f"{name}={'U' if value is None else plain(value)}{unit};{thresholds[name].as_performance_data()}"
        for name, (value, unit) in metrics(snapshot).items()
    ]
    totals = snapshot["totals"]
    return " ".join([*parts, f"messages={totals['messages_total']}c", f"rows={totals['rows_total']}c"])


def threshold(name: str, meaning: str, warning: float | None, critical: float | None) -> Callable[[Any], Any]:
    """Return a decorator that adds the two threshold options of a metric."""

    def add_options(command: Any) -> Any:
        for level, default in (("crit", critical), ("warn", warning)):
            option = f"--{level}-{name}"
            command = click.option(
                option, type=float, default=default, metavar="N", help=f"{meaning}.", show_default=default is not None
            )(command)
        return command

    return add_options


@click.command(
    short_help="Print one line and an exit code for Nagios.",
    epilog=lines(
        "eventwriter-ctl check --warn-lag 10000 --crit-lag 1000000 --crit-dead 100",
        "eventwriter-ctl check --only-critical",
        "eventwriter-ctl check --json",
    ),
)
@threshold("lag", "Waiting messages", None, None)
@threshold("lag-age", "Age of the oldest waiting message in seconds", 60, 600)
@threshold("stall", "Seconds without progress while messages are waiting", 30, 120)
@threshold("dead", "Dead letters within the last hour", 1, None)
@click.option("--only-critical", is_flag=True, help="Exit code 0 for OK and warning, 1 for critical and unknown.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@pass_client
def check(client: Client, /, as_json: bool, only_critical: bool, **bounds: float | None) -> int:
    """
    Print the state of the daemon in one line for Nagios and compatible monitoring systems.

    Health counts too: degraded is a warning, failing is critical. Exit codes: 0 OK, 1 warning, 2 critical,
    3 unknown (the daemon does not answer). Use --only-critical as the health check of a container, so that a pause
    or a single dead letter does not cause a restart.
    """
    thresholds = {
        name: Threshold(bounds[f"warn_{name}"], bounds[f"crit_{name}"]) for name in ("lag", "lag_age", "stall", "dead")
    }
    try:
        snapshot = client.call("status")
    except (Unreachable, Refused) as error:
        print_result(as_json, UNKNOWN, [str(error)], None, "")
        return exit_code(UNKNOWN, only_critical)
    code, problems = evaluate(snapshot, thresholds)
    print_result(as_json, code, problems, snapshot, performance(snapshot, thresholds))
    return exit_code(code, only_critical)


def exit_code(code: int, only_critical: bool) -> int:
    """Return the exit code of the process; Docker allows only 0 and 1."""
    return int(code in (CRITICAL, UNKNOWN)) if only_critical else code


def print_result(as_json: bool, code: int, problems: list[str], snapshot: Mapping[str, Any] | None, data: str) -> None:
    """Print the result."""
    slots = snapshot["slots"] if snapshot else []
    up = sum(slot["worker_state"] == "running" for slot in slots)
    if as_json:
        values = {name: value for name, (value, _) in metrics(snapshot).items()} if snapshot else {}
        verdict = {"code": code, "verdict": WORDS[code], "reasons": problems, "running": up, "slots": len(slots)}
        echo_json(json.dumps({**verdict, **values}))
        return
    text = "; ".join(problems) or f"{up} of {len(slots)} workers running"
    echo(printable_line(f"EVENTWRITER {WORDS[code]} - {text.replace('|', '/')}" + (f" | {data}" if data else "")))
