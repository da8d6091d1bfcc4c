"""The handbook against the code: its words, its sentences, its alerts, its tables of verdicts and measurements."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.docs_tables import DOCS, PAGES, render
from eventwriter.postgres.errors import VERDICTS, Verdict
from eventwriter.supervisor.slot import State
from eventwriter.supervisor.status import Health

ROOT = Path(__file__).parents[2]
HANDBOOK = (DOCS / "operations.md").read_text()
RULES = ROOT / "deploy" / "prometheus" / "eventwriter.rules.yml"


def rows(title: str, level: str = "##") -> list[list[str]]:
    """Return the rows of the tables below a heading, up to the next of its level or above."""
    part = re.split(rf"^#{{1,{len(level)}}} ", HANDBOOK.partition(f"\n{level} {title}\n")[2], flags=re.MULTILINE)[0]
    lines = [line for line in part.splitlines() if line.startswith("|") and not line.startswith("|---")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row[0] not in ("sentence", "state", "health", "alert")]


def words(title: str) -> set[str]:
    return {row[0].strip("`") for row in rows(title)}


def documented_states() -> set[str]:
    """Return the words that a worker says of itself, as the code has them."""
    said = {"stopped", "paused"}
    for path in sorted((ROOT / "eventwriter" / "worker").glob("*.py")):
        said |= set(re.findall(r'\b(?:status|self)\.set\("(\w+)"', path.read_text()))
    return said | set(re.findall(r'state: str = "(\w+)"', (ROOT / "eventwriter/worker/status.py").read_text()))


def constants() -> Iterator[str]:
    """Yield every text that stands in the code; placeholders divide it."""
    for path in sorted((ROOT / "eventwriter").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_every_state_is_in_the_handbook() -> None:
    """Each state of a slot and of a worker, and each health, has its row, and there are no others."""
    assert {str(state) for state in State} == words("States of a slot")
    assert {str(health) for health in Health} == words("Health")
    assert documented_states() == words("States of a worker")


def test_every_sentence_is_one_that_the_code_says() -> None:
    """Each fixed part of a sentence in the handbook stands in the code."""
    said = "\n".join(constants())
    documented = [row[0] for row in rows("Sentences")]
    parts = [part.strip(" :;(") for sentence in documented for part in sentence.split("…")]

    assert len(documented) > 40
    assert [] == [part for part in parts if len(part) > 4 and part not in said]


@pytest.mark.skipif(not RULES.exists(), reason="there are no Prometheus rules in this tree")
def test_every_alert_is_in_the_handbook() -> None:
    """Each alert has its row, and there are no others."""
    assert set(re.findall(r"alert: (\w+)", RULES.read_text())) == words("Alerts")


def test_every_sqlstate_is_in_the_architecture() -> None:
    """The table of verdicts says of each SQLSTATE what the code does."""
    text = (DOCS / "architecture.md").read_text()
    found = {
        code: Verdict(verdict)
        for verdict, codes in re.findall(r"^\| (\w+) \| [^|]+ \| (`[^|]+`) \|$", text, flags=re.MULTILINE)
        for code in re.findall(r"`(\w+)`", codes)
    }

    assert dict(VERDICTS) == found


@pytest.mark.parametrize("name", PAGES)
def test_measurements_are_those_of_the_file(name: str) -> None:
    """The measured tables are up to date with `python -m benchmarks.docs_tables`."""
    text = (DOCS / name).read_text()

    assert "<!-- benchmark: " in text
    assert render(text, json.loads((DOCS / "benchmark.json").read_text())) == text
