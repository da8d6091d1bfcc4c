"""The model of the ledger protocol, checked exhaustively with spin in the documented configurations."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from fix_faults import runs_all

DESIGN = Path(__file__).parents[2] / "docs" / "design"
PAGE = DESIGN / "ledger-model.md"

STATES_MAX = 500_000
"""Configurations with more states run with --faults-all only; they take up to a minute of CPU time each."""
MEMORY_MB_MAX = 2000

ASSERTIONS = {
    "rows once": re.compile(r"\(\(\(rows&\w+(\[w\])?\)&.*\)==0\)"),
    "ack after commit": re.compile(r"\(\(\(live&\(1<<\(i-1\)\)\)==0\)\|\|\(\(rows&.*"),
    "true regression": re.compile(r"\(epoch<regressions\)"),
    "safe start": re.compile(r"\(\(rows&\(1<<\(i-1\)\)\)!=0\)"),
    "settled": re.compile(r".*\(rows&acked\).*"),
}
"""How pan prints the assertion of each property."""


def missing() -> str | None:
    """Return the missing Debian package that the model needs, or None."""
    for program in ("spin", "gcc"):
        if shutil.which(program) is None:
            return program
    header = ("gcc", "-fsyntax-only", "-x", "c", "-include", "stdio.h", "/dev/null")
    compiled = subprocess.run(header, stdin=subprocess.DEVNULL, capture_output=True)
    return "libc6-dev" if compiled.returncode else None


MISSING = missing()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=f"Debian package {MISSING} is not installed")


class Search(NamedTuple):
    """The results that pan reports for one search."""

    violated: str | None
    states: int
    complete: bool


def table(head: str) -> list[list[str]]:
    """Return the rows of the page's table whose first column has this title."""
    text = PAGE.read_text().partition(f"| {head} |")[2]
    lines = [line for line in text.partition("\n\n")[0].splitlines() if line.startswith("| ")]
    return [[cell.strip(" `") for cell in line.strip("|").split(" | ")] for line in lines]


CORRECT = [(row[1], row[2], int(row[3].replace(",", ""))) for row in table("configuration")]
BUGS = [(row[1], row[2]) for row in table("planted bug")]


def search(folder: Path, options: str, liveness: bool = False, optimize: str = "-O1") -> Search:
    """Generate, compile and run a verifier of the model in `folder`."""
    shutil.copy(DESIGN / "ledger.pml", folder)
    flags = options.split() + (["-DFAULTS_END"] if liveness else [])
    kind = "-DNP" if liveness else "-DSAFETY"

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    run("spin", *flags, "-a", "ledger.pml")
    run("gcc", optimize, "-w", kind, "-DNOREDUCE", f"-DMEMLIM={MEMORY_MB_MAX}", "-o", "pan", "pan.c")
    report = run("./pan", "-m100000", *(["-l"] if liveness else []))

    error = re.search(r"^pan:\d+: (?:assertion violated )?(.*) \(at depth \d+\)$", report, re.MULTILINE)
    states = re.search(r"(\d+) states, stored", report)
    assert states is not None, report
    # pan warns of a search that memory or depth has cut short.
    complete = "errors: 0" in report and not re.search(r"Warning|max search depth|out of memory", report)
    return Search(None if error is None else error[1], int(states[1]), complete)


@pytest.mark.parametrize(("options", "check", "states"), CORRECT, ids=[f"{check} {o}" for o, check, _ in CORRECT])
def test_correct_model_has_no_violation(
    options: str, check: str, states: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The search is complete, finds no violation, and visits the documented number of states."""
    if states > STATES_MAX and not runs_all(request.config):
        pytest.skip(f"{states:,} states: runs with --faults-all")

    found = search(tmp_path, options, liveness=check == "liveness")

    assert Search(None, states, complete=True) == found


@pytest.mark.parametrize(("options", "violated"), BUGS, ids=[options.split()[0][2:] for options, _ in BUGS])
def test_planted_bug_is_found(options: str, violated: str, tmp_path: Path) -> None:
    """The search ends with the documented violation."""
    found = search(tmp_path, options, optimize="-O0")

    assert found.violated is not None
    assert ASSERTIONS[violated].fullmatch(found.violated), found.violated


def test_every_planted_bug_of_the_model_is_listed() -> None:
    """The tables of the page select each alternative of the model."""
    names = set(re.findall(r"^#(?:ifn?def |elif defined\()(\w+)", (DESIGN / "ledger.pml").read_text(), re.MULTILINE))
    listed = " ".join([options for options, *_ in CORRECT] + [options for options, _ in BUGS])

    assert {"FAULTS_END"} == names - set(re.findall(r"-D(\w+)", listed))
