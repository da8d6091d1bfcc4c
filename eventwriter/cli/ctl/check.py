"""
`eventwriter-ctl check`: one line and an exit code for whoever watches from outside.

Source: Monitoring Plugins Development Guidelines: exit codes, performance data.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from eventwriter.cli.ctl.common import lines
from eventwriter.control.client import Client, Refused, Unreachable

OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
OF_STATUS = {"healthy": OK, "starting": WARNING, "degraded": WARNING, "failing": CRITICAL}


@dataclass(frozen=True, slots=True)
class Threshold:
    """From which value on a figure is a warning, and critical; None for never."""

    warning: float | None
    critical: float | None

    def judge(self, value: float | None) -> int:
        """Return the exit code for a value; an unknown one is none."""
        if value is None:
            return OK
        if self.critical is not None and value >= self.critical:
            return CRITICAL
        return WARNING if self.warning is not None and value >= self.warning else OK

    def shown(self) -> str:
        """Return both as performance data has them."""
        return ";".join("" if one is None else plain(one) for one in (self.warning, self.critical))


def figures(picture: Mapping[str, Any]) -> dict[str, tuple[float | None, str]]:
    """Return what thresholds may be set for: name → (value, unit of performance data)."""
    slots, totals = picture["slots"], picture["totals"]
    moving = [slot for slot in slots if slot["worker_state"] != "paused" and slot["state"] != "stopped"]
    return {
        "lag": (totals["lag_messages"], ""),
        "lag_age": (totals["lag_s"], "s"),
        "stall": (max((slot["stalled_s"] for slot in moving if slot["lag_messages"]), default=0.0), "s"),
        "dead": (sum(slot["dead_letters_last_hour"] for slot in slots), ""),
    }


def judged(picture: Mapping[str, Any], thresholds: Mapping[str, Threshold]) -> tuple[int, list[str]]:
    """Return the worst exit code, and a sentence for everything that is not well; pure."""
    code, said = (
        OF_STATUS[picture["status"]],
        [f"{picture['status']}: {picture['reason']}"] if picture["reason"] else [],
    )
    for name, (value, unit) in figures(picture).items():
        found = thresholds[name].judge(value)
        bound = thresholds[name].critical if found == CRITICAL else thresholds[name].warning
        if found != OK and value is not None and bound is not None:
            said.append(f"{SENTENCES[name](value)} ({WORDS[found].lower()} from {plain(bound)}{unit})")
        code = max(code, found)
    return code, said


SENTENCES: Mapping[str, Callable[[float], str]] = {
    "lag": lambda value: f"{value:,.0f} messages wait",
    "lag_age": lambda value: f"the oldest message that waits is {value:.0f} s old",
    "stall": lambda value: f"nothing was settled for {value:.0f} s though messages wait",
    "dead": lambda value: f"{value:,.0f} dead letters within the last hour",
}


def plain(value: float) -> str:
    """Return a figure without an exponent, which some readers of performance data do not know."""
    return f"{round(value, 2):.15g}"


def performance(picture: Mapping[str, Any], thresholds: Mapping[str, Threshold]) -> str:
    """Return the figures as performance data: `lag=0;1000;10000`."""
    parts = [
        f"{name}={'U' if value is None else plain(value)}{unit};{thresholds[name].shown()}"
        for name, (value, unit) in figures(picture).items()
    ]
    totals = picture["totals"]
    return " ".join([*parts, f"messages={totals['messages_total']}c", f"rows={totals['rows_total']}c"])


def threshold(name: str, meaning: str, warning: float | None, critical: float | None) -> Callable[[Any], Any]:
    """Return the two options of a figure."""

    def both(command: Any) -> Any:
        for level, default in (("crit", critical), ("warn", warning)):
            option = f"--{level}-{name}"
            command = click.option(
                option, type=float, default=default, metavar="N", help=f"{meaning}.", show_default=default is not None
            )(command)
        return command

    return both


@click.command(
    short_help="One line and an exit code, for Nagios.",
    epilog=lines(
        "eventwriter-ctl check --warn-lag 10000 --crit-lag 1000000 --crit-dead 100",
        "eventwriter-ctl check --only-critical",
        "eventwriter-ctl check --json",
    ),
)
@threshold("lag", "Messages that wait", None, None)
@threshold("lag-age", "Seconds that the oldest of them is old", 60, 600)
@threshold("stall", "Seconds without progress while messages wait", 30, 120)
@threshold("dead", "Dead letters within the last hour", 1, None)
@click.option("--only-critical", is_flag=True, help="Exit code 0 for a warning too, 1 for critical and unknown.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def check(client: Client, /, as_json: bool, only_critical: bool, **bounds: float | None) -> int:
    """
    Say in one line whether all is well, for Nagios and whoever speaks its language.

    Health counts too: degraded is a warning, failing critical. Exit codes: 0 OK, 1 warning,
    2 critical, 3 unknown: nobody answers. A container's health check wants --only-critical:
    a pause, or one dead letter, is a warning, and no reason to replace what works.
    """
    thresholds = {
        name: Threshold(bounds[f"warn_{name}"], bounds[f"crit_{name}"]) for name in ("lag", "lag_age", "stall", "dead")
    }
    try:
        picture = client.call("status")
    except (Unreachable, Refused) as error:
        say(as_json, UNKNOWN, [str(error)], None, "")
        return exit_code(UNKNOWN, only_critical)
    code, said = judged(picture, thresholds)
    say(as_json, code, said, picture, performance(picture, thresholds))
    return exit_code(code, only_critical)


def exit_code(code: int, only_critical: bool) -> int:
    """Return what the process ends with; Docker knows 0 and 1 only, and keeps the others for itself."""
    return int(code in (CRITICAL, UNKNOWN)) if only_critical else code


def say(as_json: bool, code: int, said: list[str], picture: Mapping[str, Any] | None, data: str) -> None:
    """Print the verdict."""
    slots = picture["slots"] if picture else []
    up = sum(slot["worker_state"] == "running" for slot in slots)
    if as_json:
        found = {name: value for name, (value, _) in figures(picture).items()} if picture else {}
        verdict = {"code": code, "verdict": WORDS[code], "reasons": said, "running": up, "slots": len(slots)}
        click.echo(json.dumps({**verdict, **found}))
        return
    text = "; ".join(said) or f"{up} of {len(slots)} workers run"
    click.echo(f"EVENTWRITER {WORDS[code]} - {text.replace('|', '/')}" + (f" | {data}" if data else ""))
