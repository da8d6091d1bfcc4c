"""Sections `supervisor`, `control` and `log`: the parent process, its control socket and its log."""

import os
import tempfile
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from eventwriter.config.settings.fields import MiB, Record, Seconds


class SupervisorSettings(Record):
    """How the supervisor watches, restarts and stops workers."""

    heartbeat_s: Seconds = Field(1.0, alias="heartbeat")
    """Interval of a worker's heartbeats; at most half of `hang_max`. Default 1 s. Lower: more recent figures, more
    CPU."""
    hang_max_s: Seconds = Field(20.0, alias="hang_max")
    """Time without a heartbeat after which a worker is killed; its stacks are dumped first. Default 20 s. Too low:
    workers of a busy machine are killed for no reason. Too high: a worker that hangs delays its messages."""
    backoff_min_s: Seconds = Field(0.2, alias="backoff_min")
    """Delay of a restart after a worker's first unexpected exit; it doubles with each further one. Default 0.2 s."""
    backoff_max_s: Seconds = Field(30.0, alias="backoff_max")
    """Longest delay of a restart, also for a slot in a crash loop. Default 30 s. Too high: a slot recovers late after
    its cause is fixed."""
    crash_loop_exits_max: int = Field(5, ge=1)
    """Number of unexpected exits within `crash_loop_window` after which a slot counts as failed; other slots are not
    affected. Default 5."""
    crash_loop_window_s: Seconds = Field(60.0, alias="crash_loop_window")
    """Time window of `crash_loop_exits_max`. Default 60 s."""
    start_max_s: Seconds = Field(60.0, alias="start_max")
    """Time limit for the first heartbeat of a new worker; unreachable servers do not delay it. Default 60 s."""
    drain_max_s: Seconds = Field(30.0, alias="drain_max")
    """Time limit for a worker to settle its open messages and exit; afterwards it is killed and the messages are
    redelivered. Default 30 s. systemd's TimeoutStopSec must be longer."""
    worker_memory_bytes_max: int = Field(1024 * MiB, ge=64 * MiB)
    """Resident memory in bytes above which a worker is drained and replaced. Default 1 GiB. It must be able to hold
    three batches of the worker's stream."""


def _default_socket() -> str:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    for folder, name in (("/run/eventwriter", "control.sock"), (runtime or "", "eventwriter.sock")):
        if folder and os.path.isdir(folder) and os.access(folder, os.W_OK):
            return os.path.join(folder, name)
    return os.path.join(tempfile.gettempdir(), f"eventwriter-{os.getuid()}.sock")


def _mode(value: object) -> object:
    """Read permission bits: a number, or octal digits as text."""
    if isinstance(value, str):
        try:
            return int(value, 8)
        except ValueError:
            raise ValueError('not a set of permission bits; write them in octal, like "0660"') from None
    if isinstance(value, int) and not 0 <= value <= 0o777:
        raise ValueError('not a set of permission bits; write them in octal and as text, like "0660"')
    return value


class ControlSettings(Record):
    """The control socket, through which `eventwriter-ctl` and the web child talk to the supervisor."""

    socket: str = Field(default_factory=_default_socket)
    """Path of the socket, at most 107 bytes. Default: /run/eventwriter/control.sock if that directory is writable,
    otherwise $XDG_RUNTIME_DIR/eventwriter.sock, otherwise a file in the directory for temporary files."""
    mode: Annotated[int, BeforeValidator(_mode), WithJsonSchema({"type": ["string", "integer"]})] = 0o660
    """Permission bits of the socket, as octal text; they decide who may connect. Default "0660". With "0666" every user
    of the machine may read (`status`), but only root, the daemon's user, the socket's owner and the members of its
    group may change anything."""
    owner: str | None = None
    """User who owns the socket. Default: the daemon's own user. Only a daemon that runs as root can set another."""
    group: str | None = None
    """Group that owns the socket; its members may connect and change things. Default: the daemon's own group. The
    daemon's user must be a member (`SupplementaryGroups=` in the unit)."""


class LogSettings(Record):
    """The log, which is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is logged. Default `info`: one line for each change of state, none for single
    messages."""
    format: Literal["auto", "json", "text"] = "auto"
    """`auto` writes text to a terminal, and one JSON object per line otherwise."""
