"""Checks of this host: descriptors, memory, the control socket and the daemon behind it. No server is asked."""

import os
import resource
import socket
import stat
from collections.abc import Iterable

from eventwriter import __version__
from eventwriter.admin.doctor.context import Case
from eventwriter.admin.doctor.findings import Check, Finding, Reporter
from eventwriter.config.settings import MiB
from eventwriter.control.client import Client, Refused, Unreachable
from eventwriter.control.socket_lock import PATH_BYTES_MAX, SocketUnusable, group_id
from eventwriter.observe.process import Memory, memory

_GROUP = "host"
_DESCRIPTORS, _DESCRIPTORS_EACH = 64, 4
"""What the supervisor opens itself, and for each worker (link, pidfd, and as much again while one is replaced)."""
_SLOTS_SAID_MAX = 3


def checks(case: Case) -> list[Check]:
    """Return the checks in order."""

    async def open_files(voice: Reporter) -> Iterable[Finding]:
        pid = case.daemon and case.daemon.get("pid")
        limit = file_limit(pid) if pid else resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return [descriptors(voice, len(case.settings.slots()), limit, "the daemon" if pid else "this shell")]

    async def room(voice: Reporter) -> Iterable[Finding]:
        workers = len(case.settings.slots())
        return [memory_finding(voice, workers, case.settings.supervisor.worker_memory_bytes_max, memory())]

    async def control_socket(voice: Reporter) -> Iterable[Finding]:
        return [socket_finding(voice, case)]

    async def daemon(voice: Reporter) -> Iterable[Finding]:
        return daemon_findings(voice, case)

    # The daemon first: others look at its limits.
    return [
        Check(_GROUP, "control socket", control_socket),
        Check(_GROUP, "daemon", daemon, (f"{_GROUP}: control socket",)),
        Check(_GROUP, "open files", open_files),
        Check(_GROUP, "memory", room),
    ]


def file_limit(pid: int) -> int:
    """Return how many files a process may open; our own limit where that may not be read."""
    try:
        return resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
    except OSError:
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def descriptors(voice: Reporter, workers: int, limit: int, whose: str) -> Finding:
    """Hold the limit on open files against the number of workers."""
    needed = _DESCRIPTORS + _DESCRIPTORS_EACH * workers
    said = f"{whose} may open {'any number of' if limit < 0 else format(limit, ',')} files"
    if 0 <= limit < needed:
        hint = f"raise LimitNOFILE in the systemd unit (or ulimit -n) to {needed * 2:,} or more"
        return voice.fail(f"{said}; {workers} workers need about {needed:,}", hint)
    return voice.ok(f"{said}; {workers} worker{'s' * (workers != 1)} need about {needed:,}")


def memory_finding(voice: Reporter, workers: int, each_bytes: int, found: Memory) -> Finding:
    """Hold what all workers may grow to against what there is."""
    may = workers * each_bytes
    said = f"{found.available_bytes // MiB:,} MiB free of {found.total_bytes // MiB:,} MiB"
    if found.available_bytes < found.total_bytes // 20:
        return voice.warn(f"{said}: nearly all is taken", "see what takes it; the kernel kills when nothing is left")
    if may > found.total_bytes:
        return voice.warn(
            f"{said}; {workers} workers may grow to {may // MiB:,} MiB before they are replaced",
            "lower supervisor.worker_memory_bytes_max, or max_batch_bytes with it",
        )
    return voice.ok(f"{said}; workers are replaced at {each_bytes // MiB:,} MiB each")


def socket_finding(voice: Reporter, case: Case) -> Finding:
    """Look whether the control socket is, or could be, there; fills `case.daemon`."""
    control = case.settings.control
    path = control.socket
    folder = os.path.dirname(path) or "."
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        return voice.fail(f"{path} is too long for a socket", f"at most {PATH_BYTES_MAX} bytes: set control.socket")
    try:
        group_id(control.group)
    except SocketUnusable as error:
        return voice.fail(str(error), "set control.group to a group of this host")
    if not os.path.isdir(folder):
        return voice.fail(f"folder {folder} does not exist", "make it, or set control.socket to another place")
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        if not os.access(folder, os.W_OK | os.X_OK):
            return voice.warn(
                f"{path} is not there, and this user may not make it", "run doctor as the daemon's user to be sure"
            )
        return voice.ok(f"{path} is free")
    except OSError as error:
        return voice.warn(f"{path} cannot be looked at: {error.strerror}", "run doctor as the daemon's user")
    if not stat.S_ISSOCK(mode):
        return voice.fail(f"{path} is there and is no socket", "move it away, or set control.socket to another place")
    return _ask(voice, case, mode)


def _ask(voice: Reporter, case: Case, mode: int) -> Finding:
    control = case.settings.control
    client = Client(control.socket)
    try:
        case.daemon = client.call("status")
    except Refused as error:
        return voice.warn(f"{control.socket}: {error}", "use the same release as the daemon's")
    except Unreachable as error:
        if _is_stale(control.socket):
            return voice.warn(
                f"{control.socket} was left behind by a daemon that is dead", "none is needed: the next start takes it"
            )
        return voice.fail(str(error), "join control.group, or run doctor as the daemon's user; see the daemon's log")
    finally:
        client.close()
    if stat.S_IMODE(mode) != control.mode:
        return voice.warn(
            f"{control.socket} has mode {stat.S_IMODE(mode):04o}, the configuration says {control.mode:04o}",
            "restart the daemon: it sets the mode when it makes the socket",
        )
    return voice.ok(f"{control.socket}, mode {stat.S_IMODE(mode):04o}")


def _is_stale(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def daemon_findings(voice: Reporter, case: Case) -> list[Finding]:
    """Say how the daemon itself finds its state."""
    picture = case.daemon
    if picture is None:
        hint = "start it: eventwriter run, or systemctl start eventwriter"
        return [voice.warn("no daemon runs here: nothing is written", hint)]
    said = f"pid {picture['pid']}, {picture['status']}"
    found = []
    if picture["version"] != __version__:
        found.append(
            voice.warn(f"the daemon is version {picture['version']}, this command {__version__}", "restart the daemon")
        )
    slots = {slot["name"]: slot for slot in picture["slots"]}
    wanted = {str(slot) for slot in case.settings.slots()}
    if set(slots) != wanted:
        other = ", ".join(sorted(set(slots) ^ wanted)[:_SLOTS_SAID_MAX])
        hint = "eventwriter-ctl reload takes the file; or give doctor the daemon's file with --config"
        found.append(voice.warn(f"the daemon runs other slots than this configuration ({other})", hint))
    ailing = [slot for slot in picture["slots"] if slot["health"] in ("degraded", "failing")]
    for slot in ailing[:_SLOTS_SAID_MAX]:
        say = voice.fail if slot["health"] == "failing" else voice.warn
        found.append(
            say(f"{slot['name']} is {slot['health']}: {slot['reason']}", "the checks below look for the cause")
        )
    return found or [voice.ok(said)]
