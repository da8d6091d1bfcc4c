"""What is given along for Prometheus, Grafana and containers: held against the program, read by the tools for it."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from eventwriter.config.environment import OTHERS, VARIABLES
from eventwriter.config.settings import SupervisorSettings
from eventwriter.observe import metrics
from eventwriter.observe.metrics import Kind

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "eventwriter.rules.yml"
DASHBOARD = DEPLOY / "grafana" / "eventwriter.json"
COMPOSE = DEPLOY / "compose" / "compose.yml"

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)"
)
NAME = re.compile(r"\beventwriter_[a-z_]+\b")
GIVEN = {"stream", "partition", "process", "instance", "job", "le"}
"""Labels that are not of one metric's own."""


def exposed() -> dict[str, metrics.Metric]:
    """Return every series' name, and the row of the table that it comes from."""
    found = {}
    for metric, _ in metrics.TABLE:
        ends = ("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",)
        found |= {metric.name + end: metric for end in ends}
    return found


def expressions() -> Iterator[str]:
    """Yield everything that asks Prometheus."""
    text = RULES.read_text()
    yield from re.findall(r"expr: \|\n((?: {10}.*\n)+)", text)
    yield from re.findall(r"expr: ([^|\n].*)", text)
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def test_every_metric_that_is_asked_for_exists() -> None:
    """Rules and dashboard name only what is exposed."""
    asked = [name for text in expressions() for name in NAME.findall(text)]

    assert len(asked) > 50
    assert set() == set(asked) - set(exposed())


def test_every_label_that_is_asked_for_exists() -> None:
    """A selector names only labels of its metric, and only words that they can have."""
    wrong = []
    for text in expressions():
        for name, inside in re.findall(r"(eventwriter_[a-z_]+)\{([^}]*)\}", text):
            metric = exposed()[name]
            for label, word in re.findall(r'(\w+)=~?"([^"]*)"', inside):
                known = label in GIVEN or (label == metric.label and (not metric.words or word in metric.words))
                wrong += [] if known else [f"{name}{{{label}={word}}}"]

    assert not wrong


def test_every_alert_says_what_to_do_and_is_tested() -> None:
    """Each alert has a severity, what it means, what to do, and a test that raises it."""
    rules, tests = RULES.read_text(), (RULES.parent / "eventwriter.rules.test.yml").read_text()
    alerts = re.findall(r"- alert: (\w+)\n(.*?)(?=\n      - alert|\Z)", rules, re.S)

    assert len(alerts) >= 13
    for name, body in alerts:
        assert all(word in body for word in ("severity: ", "summary: ", "description: ")), name
        assert f"- name: {name}\n" in tests


@needs_promtool
def test_rules_are_accepted() -> None:
    """promtool has nothing to say about the rules."""
    done = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True)

    assert 0 == done.returncode, done.stdout + done.stderr


def unit_tested(folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the rules' own tests."""
    return subprocess.run(
        ["promtool", "test", "rules", str(folder / "eventwriter.rules.test.yml")], capture_output=True, text=True
    )


@needs_promtool
def test_alerts_are_raised_by_their_causes(tmp_path: Path) -> None:
    """Each alert is raised by its cause in its time, none by a healthy writer; another threshold is noticed."""
    shutil.copytree(RULES.parent, tmp_path, dirs_exist_ok=True)
    good = unit_tested(tmp_path)
    rules = tmp_path / RULES.name
    rules.write_text(rules.read_text().replace("eventwriter_nats_connected == 0", "eventwriter_nats_connected == 1"))
    bad = unit_tested(tmp_path)

    assert 0 == good.returncode, good.stdout + good.stderr
    assert 0 != bad.returncode


def test_dashboard_is_one_that_grafana_takes() -> None:
    """Panels have their own numbers and places within 24 columns, and ask the data source that the reader chooses."""
    board: dict[str, Any] = json.loads(DASHBOARD.read_text())
    panels = board["panels"]
    names = [variable["name"] for variable in board["templating"]["list"]]
    places = [panel["gridPos"] for panel in panels]

    assert len(panels) == len({panel["id"] for panel in panels})
    assert ["datasource", "instance", "stream"] == names
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert {"${datasource}"} == {panel["datasource"]["uid"] for panel in panels if panel["type"] != "row"}
    assert ["Overview", "Throughput", "Lag", "Batches", "Commit latency", "Dead letters", "Workers"] == [
        panel["title"] for panel in panels if panel["type"] == "row"
    ]


def test_compose_file_is_whole() -> None:
    """The services that others wait for are there, its variables are read, and the stop leaves time to drain."""
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    writer = services["eventwriter"]
    awaited = {name for service in services.values() for name in service.get("depends_on", ())}

    assert {"nats", "stream", "postgres", "migrate"} == awaited
    assert awaited < set(services)
    assert set(writer["environment"]) <= {*VARIABLES, *OTHERS}
    assert int(writer["stop_grace_period"].removesuffix("s")) > SupervisorSettings().drain_max_s + 5
    assert ["CMD", "eventwriter-ctl", "check", "--only-critical"] == writer["healthcheck"]["test"]


def test_image_is_unhealthy_only_where_it_is_critical() -> None:
    """The image's own health check counts a warning as well."""
    text = (DEPLOY / "docker" / "Dockerfile").read_text()

    assert 'CMD ["eventwriter-ctl", "check", "--only-critical"]' in text


def test_image_is_small_in_rights() -> None:
    """The image's last stage has no compiler and no pip, and runs as another user than root."""
    text = (DEPLOY / "docker" / "Dockerfile").read_text()
    last = text[text.rindex("\nFROM ") :]

    assert text.count("\nFROM ") == 2
    assert "USER eventwriter" in last
    assert not re.search(r"apt-get|pip install|gcc|build-essential", last)
