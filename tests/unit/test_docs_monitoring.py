"""docs/monitoring.md against the code: every metric, every path, every limit."""

import json
import re
from pathlib import Path

from snapshots import heartbeat, made

from eventwriter.observe import metrics
from eventwriter.observe.heartbeat import BOUNDS
from eventwriter.web import app, auth, connections, poller
from eventwriter.web.app import CODES, health
from eventwriter.web.history import SPAN_S

PAGE = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text()


def table() -> str:
    """Return the table of metrics as the page has it."""
    lines = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for metric, labels in metrics.TABLE:
        kinds = {metrics.Kind.STATES: "gauge, one of its words is 1", metrics.Kind.INFO: "gauge"}
        kind = kinds.get(metric.kind, str(metric.kind))
        named = ", ".join(f"`{label}`" for label in (*labels, *metrics.labels_of(metric)))
        lines.append(f"| `{metric.name}` | {kind} | {named} | {metric.help} |")
    return "\n".join(lines)


def test_table_of_metrics_is_the_codes() -> None:
    """The page lists each metric with its kind, labels and meaning, in the order of the code."""
    assert table() in PAGE, table()


def test_every_path_is_described() -> None:
    """Each path that is served stands on the page."""
    paths = {
        resource.canonical
        for resource in app.WebApp(None, None, None).app().router.resources()  # type: ignore[arg-type]
    }

    assert set() == {path for path in paths if f"`{path}`" not in PAGE} - {"/static/{name}"}


def test_limits_are_the_codes() -> None:
    """Numbers in the text are the constants'."""
    for text in (
        f"{app.CLIENTS_MAX} dashboards",
        f"{connections.CONNECTIONS_MAX} connections",
        f"{app.SEND_S_MAX:g} s",
        f"older than {poller.STALE_S:g} s",
        f"{auth.TOKEN_CHARACTERS_MIN} characters",
        f"{auth.SESSION_S / 86400:g} days",
        f"{SPAN_S // 60} minutes",
    ):
        assert text in re.sub(r"\s+", " ", PAGE), text


def test_codes_of_health_are_the_codes() -> None:
    """Each health has its row, with its HTTP status."""
    assert CODES == {
        word: int(code) for word, code in re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE, re.M) if word != "unknown"
    }


def keys(value: object) -> object:
    """Return the names in a JSON value, in its shape; of a list those of its first entry."""
    if isinstance(value, dict):
        return {name: keys(inner) for name, inner in value.items()}
    return [keys(value[0])] if isinstance(value, list) else None


def test_example_of_health_has_the_codes_keys() -> None:
    """The answer on the page has every key that the code gives, and no other, in the same order."""
    example = re.search(r"^```json\n(.*?)^```$", PAGE, re.M | re.S)
    assert example

    _, answer = health(made({"TELEMETRY/0": heartbeat()}), 0.4)

    assert json.dumps(keys(answer)) == json.dumps(keys(json.loads(example[1])))


def test_bounds_are_the_codes() -> None:
    """Each histogram's bounds are listed."""
    for bounds in BOUNDS.values():
        assert ", ".join(f"{bound:g}" if bound < 1e5 else f"{bound}" for bound in bounds) in re.sub(r"\s+", " ", PAGE)
