"""The commands in `bin/` create and update `.venv`, tested with a stand-in for Python that records its arguments."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("bash", "cat", "cut", "basename", "dirname", "flock", "mkdir", "chmod", "cp", "rm", "sed", "sha256sum", "env")

STAND_IN = """#!/usr/bin/env bash
echo "$*" >> "$ASKED"
case "$*" in
  *version_info*) exit "${TOO_OLD:-0}";;
  --version) echo "Python 3.99";;
  "-m venv --clear"*) exit 1;;
  "-m venv "*) [ -z "${NO_VENV:-}" ] || exit 1
    mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; echo '#!/usr/bin/env bash
      echo "eventwriter $*"' > "$3/bin/eventwriter"; chmod +x "$3/bin/eventwriter";;
  *"-e "*) exit "${NO_NETWORK:-0}";;
esac
"""


class Checkout:
    """A checkout whose path contains a space, on a machine with a few tools and the stand-in for Python."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a checkout"
        self.tools = folder / "tools"
        self.asked = folder / "asked"
        self.tools.mkdir()
        for name in TOOLS:
            if found := shutil.which(name):
                (self.tools / name).symlink_to(found)
        (self.root / "bin").mkdir(parents=True)
        for name in ("bin/_venv.sh", "bin/eventwriter", "setup.cfg", "pyproject.toml"):
            shutil.copy(ROOT / name, self.root / name)
        self.add_python(self.tools / "python3")

    def add_python(self, path: Path) -> None:
        """Write the stand-in for Python to a path."""
        path.write_text(STAND_IN)
        path.chmod(0o755)

    def run(self, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run `bin/eventwriter status`."""
        return subprocess.run(
            [str(self.root / "bin" / "eventwriter"), "status"], capture_output=True, text=True,
            env={"PATH": str(self.tools), "ASKED": str(self.asked), **environ}, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def installs(self) -> int:
        """Return how often packages were installed."""
        return sum("pip install" in line for line in self.asked.read_text().splitlines())


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A fresh checkout."""
    return Checkout(tmp_path)


def test_first_run_installs_and_runs_the_command(checkout: Checkout) -> None:
    """A fresh checkout is installed, and the command runs, although the path contains a space."""
    done = checkout.run()

    assert (0, "eventwriter status\n", 1) == (done.returncode, done.stdout, checkout.installs())


def test_second_run_installs_nothing(checkout: Checkout) -> None:
    """A second run installs nothing."""
    checkout.run()

    assert "eventwriter status\n" == checkout.run().stdout
    assert 1 == checkout.installs()


def test_changed_requirements_are_installed(checkout: Checkout) -> None:
    """Changed packaging files are installed into the existing `.venv`."""
    checkout.run()
    with (checkout.root / "setup.cfg").open("a") as file:
        file.write("# changed\n")

    done = checkout.run()

    assert "creating .venv" not in done.stderr
    assert 2 == checkout.installs()


def test_moved_checkout_gets_a_new_venv(checkout: Checkout) -> None:
    """A moved checkout gets a new `.venv`, because the scripts of the old one contain the old path."""
    checkout.run()
    checkout.root = checkout.root.rename(checkout.root.with_name("moved"))

    done = checkout.run()

    assert (0, 2) == (done.returncode, checkout.installs())
    assert "creating .venv" in done.stderr


def test_venv_without_its_python_is_recreated(checkout: Checkout) -> None:
    """A `.venv` whose Python was removed is recreated."""
    checkout.run()
    (checkout.root / ".venv" / "bin" / "python").unlink()

    assert 0 == checkout.run().returncode
    assert 2 == checkout.installs()


def test_failed_install_is_retried_by_the_next_run(checkout: Checkout) -> None:
    """A failed installation is reported, and the next run tries again."""
    refused = checkout.run(NO_NETWORK="1")

    assert 1 == refused.returncode
    assert "pip could not install the dependencies" in refused.stderr
    assert 0 == checkout.run().returncode


def test_python_variable_is_used(checkout: Checkout, tmp_path: Path) -> None:
    """$PYTHON is used, even if its path contains a space."""
    (tmp_path / "my python").mkdir()
    checkout.add_python(tmp_path / "my python" / "python")
    (checkout.tools / "python3").unlink()

    assert 0 == checkout.run(PYTHON=str(tmp_path / "my python" / "python")).returncode


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"PYTHON": "/nowhere/python"}, "PYTHON=/nowhere/python is not Python 3.11 or newer; correct or unset it"),
        ({"TOO_OLD": "1"}, "no Python 3.11 or newer was found; install one, or set PYTHON to it"),
        ({"NO_VENV": "1"}, "on Debian and Ubuntu install the package python3-venv"),
    ],
    ids=["PYTHON is nothing", "only older Pythons", "no module venv"],
)
def test_unusable_python_is_an_error_with_a_hint(checkout: Checkout, environ: dict[str, str], words: str) -> None:
    """An unusable Python is reported on stderr with what to do."""
    done = checkout.run(**environ)

    assert (1, "") == (done.returncode, done.stdout)
    assert words in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write everywhere")
def test_read_only_checkout_is_an_error(checkout: Checkout) -> None:
    """The error for a checkout that cannot be written names its path."""
    checkout.root.chmod(0o555)
    try:
        done = checkout.run()
    finally:
        checkout.root.chmod(0o755)

    assert 1 == done.returncode
    assert f"cannot write to {checkout.root}" in done.stderr


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        (None, 0, "skipped: pip-audit is not installed"),
        ("echo 'Found 2 known vulnerabilities in 1 package'; exit 1", 1, "Found 2 known vulnerabilities"),
        ("echo 'ConnectionError: no network'; exit 1", 0, "skipped: pip-audit failed: ConnectionError: no network"),
        ("for n in $(seq 20); do echo 'x could not be audited'; done", 0, "skipped: the package index has no data"),
        ("echo 'No known vulnerabilities found'", 0, "no known vulnerabilities; no data for 0 packages"),
    ],
    ids=["not installed", "vulnerable", "offline", "mirror without advisories", "clean"],
)
def test_audit_fails_only_for_known_vulnerabilities(tmp_path: Path, script: str | None, code: int, said: str) -> None:
    """A known vulnerability fails the audit; where advisories cannot be looked up it is skipped with the reason."""
    (tmp_path / "bin").mkdir()
    for name in ("bin/_venv.sh", "bin/audit"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin" / "_venv.sh").write_text(f"set -euo pipefail\nVENV={tmp_path}/venv\n")
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    if script is not None:
        tool = tmp_path / "venv" / "bin" / "pip-audit"
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)

    environ = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run([tmp_path / "bin" / "audit"], capture_output=True, text=True, env=environ, check=False)

    assert code == done.returncode, done.stderr
    assert done.stdout.startswith(said)
