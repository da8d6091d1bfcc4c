"""Files for Prometheus, Grafana and containers, compared with the program and checked by their own tools."""

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


def exposed_series() -> dict[str, metrics.Metric]:
    """Return the name of every series and its row in the table of metrics."""
    found = {}
    for metric, _ in metrics.TABLE:
        ends = ("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",)
        found |= {metric.name + end: metric for end in ends}
    return found


def expressions() -> Iterator[str]:
    """Yield every PromQL expression of the rules and the dashboard."""
    text = RULES.read_text()
    yield from re.findall(r"expr: \|\n((?: {10}.*\n)+)", text)
    yield from re.findall(r"expr: ([^|\n].*)", text)
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def test_queried_metrics_exist() -> None:
    """Rules and dashboard query only metrics that are exposed."""
    asked = [name for text in expressions() for name in NAME.findall(text)]

    assert len(asked) > 50
    assert set() == set(asked) - set(exposed_series())


def test_queried_labels_exist() -> None:
    """Selectors use only labels of their metric, with values that these can have."""
    wrong = []
    for text in expressions():
        for name, inside in re.findall(r"(eventwriter_[a-z_]+)\{([^}]*)\}", text):
            metric = exposed_series()[name]
            for label, word in re.findall(r'(\w+)=~?"([^"]*)"', inside):
                known = label in GIVEN or (label == metric.label and (not metric.words or word in metric.words))
                wrong += [] if known else [f"{name}{{{label}={word}}}"]

    assert not wrong


def test_alerts_are_complete_and_tested() -> None:
    """Each alert has a severity, a summary, a hint, and a test that raises it."""
    rules, tests = RULES.read_text(), (RULES.parent / "eventwriter.rules.test.yml").read_text()
    alerts = re.findall(r"- alert: (\w+)\n(.*?)(?=\n      - alert|\Z)", rules, re.S)

    assert len(alerts) >= 13
    for name, body in alerts:
        assert all(word in body for word in ("severity: ", "summary: ", "description: ")), name
        assert f"- name: {name}\n" in tests


@needs_promtool
def test_promtool_accepts_the_rules() -> None:
    """promtool reports nothing about the rules."""
    done = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True)

    assert 0 == done.returncode, done.stdout + done.stderr


def run_rule_tests(folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the unit tests of the rules."""
    return subprocess.run(
        ["promtool", "test", "rules", str(folder / "eventwriter.rules.test.yml")], capture_output=True, text=True
    )


@needs_promtool
def test_alerts_are_raised_by_their_causes(tmp_path: Path) -> None:
    """Each alert is raised by its cause and not by a healthy writer; a changed threshold is detected."""
    shutil.copytree(RULES.parent, tmp_path, dirs_exist_ok=True)
    good = run_rule_tests(tmp_path)
    rules = tmp_path / RULES.name
    rules.write_text(rules.read_text().replace("eventwriter_nats_connected == 0", "eventwriter_nats_connected == 1"))
    bad = run_rule_tests(tmp_path)

    assert 0 == good.returncode, good.stdout + good.stderr
    assert 0 != bad.returncode


def test_dashboard_is_valid() -> None:
    """Panels have unique ids and positions within 24 columns, and use the selected data source."""
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


def test_compose_file_is_consistent() -> None:
    """Services, variables and the stop timeout of the compose file are consistent."""
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    writer = services["eventwriter"]
    awaited = {name for service in services.values() for name in service.get("depends_on", ())}

    assert {"nats", "stream", "postgres", "migrate"} == awaited
    assert awaited < set(services)
    assert set(writer["environment"]) <= {*VARIABLES, *OTHERS}
    assert int(writer["stop_grace_period"].removesuffix("s")) > SupervisorSettings().drain_max_s + 5
    assert ["CMD", "eventwriter-ctl", "check", "--only-critical"] == writer["healthcheck"]["test"]


def test_image_is_unhealthy_only_if_critical() -> None:
    """The health check of the image accepts a warning."""
    text = (DEPLOY / "docker" / "Dockerfile").read_text()

    assert 'CMD ["eventwriter-ctl", "check", "--only-critical"]' in text


def test_image_has_few_privileges() -> None:
    """The last stage of the image has no compiler and no pip, and does not run as root."""
    text = (DEPLOY / "docker" / "Dockerfile").read_text()
    last = text[text.rindex("\nFROM ") :]

    assert text.count("\nFROM ") == 2
    assert "USER eventwriter" in last
    assert not re.search(r"apt-get|pip install|gcc|build-essential", last)
