"""The commands in the pages "Quick start" and "Your own JSON", run on real servers."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from doc_session import Shell, run_page, steps

from eventwriter import __version__
from eventwriter.demo.binaries import postgres_bin
from eventwriter.demo.servers import EmbeddedServers

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NATS_ON_PAGES = "nats://127.0.0.1:4222"
POSTGRES_ON_PAGES = "postgresql://postgres@127.0.0.1:5432/postgres"


def environ(folder: Path) -> dict[str, str]:
    """Return the environment of a user's terminal, without the settings of this process."""
    if shutil.which("psql") is None and not (postgres_bin() / "psql").exists():
        pytest.skip("psql is not installed")
    path = [str(Path(sys.executable).parent), os.environ["PATH"], str(postgres_bin())]
    return {"PATH": ":".join(path), "EVENT_WRITER_CONTROL_SOCKET": str(folder / "control.sock"), "COLUMNS": "80"}


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in an empty folder; the daemon that it starts is stopped at the end."""
    session = Shell(tmp_path, environ(tmp_path))
    yield session
    session.run("EVENT_WRITER_CONFIG=$PWD/eventwriter.toml eventwriter-ctl stop --now; wait")
    session.close()


@pytest.mark.parametrize("pages", [("quickstart.md", "your-own-json.md")], ids=lambda pages: pages[-1])
def test_commands_on_the_pages_work(pages: tuple[str, ...], shell: Shell, own_servers: EmbeddedServers) -> None:
    """Every block runs with the exit code and the output that the page shows."""
    replace = {NATS_ON_PAGES: own_servers.nats_url, POSTGRES_ON_PAGES: own_servers.postgres_dsn()}

    for page in pages:
        ran = list(run_page(DOCS / page, shell, replace))
        assert len(ran) > 5


def test_installation_on_the_page_works(tmp_path: Path) -> None:
    """The installation block creates a virtual environment in which `eventwriter` runs."""
    checkout = tmp_path / "checkout"
    ignored = shutil.ignore_patterns(".*", "tests", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, checkout, ignore=ignored)
    (block,) = [step for step in steps(DOCS / "quickstart.md") if step.note == "install"]
    shell = Shell(checkout, {"PATH": os.environ["PATH"]})

    code, output = shell.run(block.commands)
    shell.close()

    if "Could not fetch URL" in output or "No matching distribution" in output or "NewConnectionError" in output:
        pytest.skip("the package index cannot be reached")
    assert (0, f"eventwriter, version {__version__}") == (code, output.strip().splitlines()[-1]), output
