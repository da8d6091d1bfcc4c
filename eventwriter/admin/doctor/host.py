"""Checks of this host: file descriptors, memory, the control socket and the running daemon."""

import os
import resource
import socket
import stat
from collections.abc import Iterable

from eventwriter import __version__
from eventwriter.admin.doctor.context import Context
from eventwriter.admin.doctor.findings import Check, Finding, Reporter
from eventwriter.config.settings import MiB
from eventwriter.control.client import Client, Refused, Unreachable
from eventwriter.control.socket_lock import PATH_BYTES_MAX, SocketUnusable, group_id
from eventwriter.observe.process import Memory, memory

_GROUP = "host"
_DESCRIPTORS, _DESCRIPTORS_EACH = 64, 4
"""File descriptors of the supervisor itself, and per worker (link and pidfd, twice while it is replaced)."""
_SLOTS_SHOWN_MAX = 3


def checks(context: Context) -> list[Check]:
    """Return the checks of the host in order."""

    async def open_files(report: Reporter) -> Iterable[Finding]:
        pid = context.daemon and context.daemon.get("pid")
        limit = file_limit(pid) if pid else resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return [descriptors(report, len(context.settings.slots()), limit, "the daemon" if pid else "this shell")]

    async def memory_limit(report: Reporter) -> Iterable[Finding]:
        workers = len(context.settings.slots())
        return [memory_finding(report, workers, context.settings.supervisor.worker_memory_bytes_max, memory())]

    async def control_socket(report: Reporter) -> Iterable[Finding]:
        return [socket_finding(report, context)]

    async def daemon(report: Reporter) -> Iterable[Finding]:
        return daemon_findings(report, context)

    # The daemon comes first, because the others check its limits.
    return [
        Check(_GROUP, "control socket", control_socket),
        Check(_GROUP, "daemon", daemon, (f"{_GROUP}: control socket",)),
        Check(_GROUP, "open files", open_files),
        Check(_GROUP, "memory", memory_limit),
    ]


def file_limit(pid: int) -> int:
    """Return the limit of open files of a process; this process's limit if it cannot be read."""
    try:
        return resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
    except OSError:
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def descriptors(report: Reporter, workers: int, limit: int, process: str) -> Finding:
    """Check the limit of open files against the number of workers."""
    needed = _DESCRIPTORS + _DESCRIPTORS_EACH * workers
    message = f"{process} may open {'any number of' if limit < 0 else format(limit, ',')} files"
    if 0 <= limit < needed:
        hint = f"raise LimitNOFILE in the systemd unit (or ulimit -n) to {needed * 2:,} or more"
        return report.fail(f"{message}; {workers} workers need about {needed:,}", hint)
    return report.ok(f"{message}; {workers} worker{' needs' if workers == 1 else 's need'} about {needed:,}")


def memory_finding(report: Reporter, workers: int, each_bytes: int, found: Memory) -> Finding:
    """Check the memory limit of all workers against the memory of the host."""
    limit = workers * each_bytes
    message = f"{found.available_bytes // MiB:,} MiB free of {found.total_bytes // MiB:,} MiB"
    if found.available_bytes < found.total_bytes // 20:
        return report.warn(
            f"{message}: almost all memory is in use", "find out what uses it, before the kernel kills processes"
        )
    if limit > found.total_bytes:
        return report.warn(
            f"{message}; {workers} workers may grow to {limit // MiB:,} MiB before they are replaced",
            "lower supervisor.worker_memory_bytes_max, and max_batch_bytes with it",
        )
    return report.ok(f"{message}; workers are replaced at {each_bytes // MiB:,} MiB each")


def socket_finding(report: Reporter, context: Context) -> Finding:
    """Check whether the control socket exists or can be created; sets `context.daemon`."""
    control = context.settings.control
    path = control.socket
    folder = os.path.dirname(path) or "."
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        return report.fail(f"{path} is too long for a socket", f"at most {PATH_BYTES_MAX} bytes: set control.socket")
    try:
        group_id(control.group)
    except SocketUnusable as error:
        return report.fail(str(error), "set control.group to a group of this host")
    if not os.path.isdir(folder):
        return report.fail(f"folder {folder} does not exist", "create it, or set control.socket to another path")
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        if not os.access(folder, os.W_OK | os.X_OK):
            return report.warn(
                f"{path} does not exist, and this user cannot create it", "run doctor as the user of the daemon"
            )
        return report.ok(f"{path} can be created")
    except OSError as error:
        return report.warn(f"{path} cannot be accessed: {error.strerror}", "run doctor as the user of the daemon")
    if not stat.S_ISSOCK(mode):
        return report.fail(f"{path} exists but is not a socket", "remove it, or set control.socket to another path")
    return _query_daemon(report, context, mode)


def _query_daemon(report: Reporter, context: Context, mode: int) -> Finding:
    control = context.settings.control
    client = Client(control.socket)
    try:
        context.daemon = client.call("status")
    except Refused as error:
        return report.warn(f"{control.socket}: {error}", "use the same release as the daemon")
    except Unreachable as error:
        if _is_stale(control.socket):
            return report.warn(
                f"{control.socket} was left behind by a killed daemon", "nothing to do: the next start replaces it"
            )
        return report.error(error, "join control.group, or run doctor as the user of the daemon; see its log")
    finally:
        client.close()
    if stat.S_IMODE(mode) != control.mode:
        return report.warn(
            f"{control.socket} has mode {stat.S_IMODE(mode):04o}, but the configuration has {control.mode:04o}",
            "restart the daemon, which sets the mode when it creates the socket",
        )
    return report.ok(f"{control.socket}, mode {stat.S_IMODE(mode):04o}")


def _is_stale(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def daemon_findings(report: Reporter, context: Context) -> list[Finding]:
    """Return the findings about the state that the daemon reports."""
    snapshot = context.daemon
    if snapshot is None:
        hint = "start it: eventwriter run, or systemctl start eventwriter"
        return [report.warn("no daemon is running on this host, so nothing is written", hint)]
    message = f"pid {snapshot['pid']}, {snapshot['status']}"
    found = []
    if snapshot["version"] != __version__:
        found.append(
            report.warn(
                f"the daemon is version {snapshot['version']}, this command {__version__}", "restart the daemon"
            )
        )
    slots = {slot["name"]: slot for slot in snapshot["slots"]}
    configured = {str(slot) for slot in context.settings.slots()}
    if set(slots) != configured:
        other = ", ".join(sorted(set(slots) ^ configured)[:_SLOTS_SHOWN_MAX])
        hint = "run eventwriter-ctl reload, or give doctor the daemon's file with --config"
        found.append(report.warn(f"the slots of the daemon differ from this configuration ({other})", hint))
    unhealthy = [slot for slot in snapshot["slots"] if slot["health"] in ("degraded", "failing")]
    for slot in unhealthy[:_SLOTS_SHOWN_MAX]:
        finding = report.fail if slot["health"] == "failing" else report.warn
        found.append(
            finding(f"{slot['name']} is {slot['health']}: {slot['reason']}", "see the checks below for the cause")
        )
    return found or [report.ok(message)]
