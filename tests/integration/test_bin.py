"""The commands in `bin/`: how they make `.venv`, with a stand-in for Python that writes down what it was asked."""

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
    """A checkout with a space in its path, on a machine with a few tools and the stand-in."""

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
        self.python(self.tools / "python3")

    def python(self, path: Path) -> None:
        """Put the stand-in somewhere."""
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


def test_first_run_installs_and_obeys(checkout: Checkout) -> None:
    """A fresh checkout is installed and then does what was asked, also with a space in its path."""
    done = checkout.run()

    assert (0, "eventwriter status\n", 1) == (done.returncode, done.stdout, checkout.installs())


def test_second_run_installs_nothing(checkout: Checkout) -> None:
    """What is installed is not installed again."""
    checkout.run()

    assert "eventwriter status\n" == checkout.run().stdout
    assert 1 == checkout.installs()


def test_changed_requirements_are_installed(checkout: Checkout) -> None:
    """Packaging files that changed are installed into the `.venv` that is there."""
    checkout.run()
    with (checkout.root / "setup.cfg").open("a") as file:
        file.write("# changed\n")

    done = checkout.run()

    assert "making .venv" not in done.stderr
    assert 2 == checkout.installs()


def test_moved_checkout_is_made_anew(checkout: Checkout) -> None:
    """A checkout that was moved gets a new `.venv`: the old one's scripts name the old place."""
    checkout.run()
    checkout.root = checkout.root.rename(checkout.root.with_name("moved"))

    done = checkout.run()

    assert (0, 2) == (done.returncode, checkout.installs())
    assert "making .venv" in done.stderr


def test_python_that_is_gone_is_replaced(checkout: Checkout) -> None:
    """A `.venv` whose Python was removed is recreated."""
    checkout.run()
    (checkout.root / ".venv" / "bin" / "python").unlink()

    assert 0 == checkout.run().returncode
    assert 2 == checkout.installs()


def test_failed_install_is_tried_again(checkout: Checkout) -> None:
    """Packages that could not be installed are said to be so, and the next run tries again."""
    refused = checkout.run(NO_NETWORK="1")

    assert 1 == refused.returncode
    assert "eventwriter: pip could not install what eventwriter needs" in refused.stderr
    assert 0 == checkout.run().returncode


def test_named_python_is_used(checkout: Checkout, tmp_path: Path) -> None:
    """$PYTHON is used, also with a space in its path."""
    (tmp_path / "my python").mkdir()
    checkout.python(tmp_path / "my python" / "python")
    (checkout.tools / "python3").unlink()

    assert 0 == checkout.run(PYTHON=str(tmp_path / "my python" / "python")).returncode


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"PYTHON": "/nowhere/python"}, "PYTHON=/nowhere/python is no Python 3.11 or newer; correct it, or unset it"),
        ({"TOO_OLD": "1"}, "no Python 3.11 or newer was found; install one, or set PYTHON to it"),
        ({"NO_VENV": "1"}, "on Debian and Ubuntu install the package python3-venv"),
    ],
    ids=["PYTHON is nothing", "only older Pythons", "no module venv"],
)
def test_unusable_python_is_one_sentence(checkout: Checkout, environ: dict[str, str], words: str) -> None:
    """A Python that cannot be used is said in one sentence on standard error, with what to do."""
    done = checkout.run(**environ)

    assert (1, "") == (done.returncode, done.stdout)
    assert words in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write everywhere")
def test_checkout_that_cannot_be_written_is_named(checkout: Checkout) -> None:
    """A checkout owned by another user is named."""
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
