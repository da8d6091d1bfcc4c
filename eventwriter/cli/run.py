"""
`eventwriter run`: read the settings, take the control socket, load the worker's code, hand over to the supervisor.

This is where parent and worker meet: the worker's modules are imported here,
before anything forks, so that all children share that memory; the supervisor
itself gets a plain callable.
"""

import faulthandler
import gc
import importlib
import logging
import os
import random
import signal
import socket
import threading
from dataclasses import replace
from functools import partial

import click

from eventwriter.cli.load_runtime import load_to_run
from eventwriter.config.settings import Settings
from eventwriter.control.socket_lock import claim
from eventwriter.errors import Fatal
from eventwriter.model import SlotName
from eventwriter.observe import logging as logs
from eventwriter.supervisor.desired_state import DesiredState, fleet_of
from eventwriter.supervisor.main import Supervisor
from eventwriter.supervisor.processes import signals_held
from eventwriter.supervisor.systemd import Notifier
from eventwriter.supervisor.web import web_fleet

STDERR = 2
WORKER = "eventwriter.worker.main"

log = logging.getLogger(__name__)


@click.command()
@click.option("--config", "config_path", metavar="FILE", help="As `eventwriter --config`.")
def run(config_path: str | None) -> int:
    """
    Run the daemon in the foreground until SIGTERM or SIGINT.

    SIGTERM and SIGINT finish what is open (a second one does not wait), SIGHUP
    reads the configuration again, SIGUSR1 dumps stacks to stderr.
    """
    # What comes before the loop listens is answered by the loop, and not by an end without a word.
    with signals_held():
        supervisor = prepared(config_path)
    return supervisor.run() if supervisor is not None else 0


def prepared(config_path: str | None) -> Supervisor | None:
    """
    Get everything ready to fork workers; None where the daemon is not enabled, which is said.

    Raises:
        EventwriterError: The configuration or the control socket cannot be used.
    """
    loaded = load_to_run(config_path, os.environ)
    settings, source = loaded.settings, loaded.source
    logs.configure(settings.log)
    for warning in loaded.warnings:
        log.warning(warning)
    if not settings.enabled:
        click.echo(
            f"eventwriter is not enabled ({source}): set EVENT_WRITER_ENABLED=true, or enabled to true in the file",
            err=True,
        )
        return None
    control = settings.control.socket
    fleet = whole_fleet(settings, control)
    if not fleet.fingerprints:
        raise Fatal(f"no stream is enabled in {source}: enable at least one entry of streams")
    where = settings.control
    claimed = claim(where.socket, where.mode, where.group, where.owner)
    log.info("control socket is open", extra={"path": claimed.path})
    importlib.import_module(WORKER)
    share_memory()
    faulthandler.register(signal.SIGUSR1, file=STDERR)
    # Not for secrets: the jitter only keeps workers from restarting in step.
    jitter = random.Random().random  # noqa: S311
    again = partial(reread, config_path, control)
    return Supervisor(fleet, claimed, again, Notifier.from_environ(os.environ), jitter)


def reread(path: str | None, control: str) -> DesiredState:
    """
    Read the configuration again, for a reload.

    Args:
        path: Of the configuration file.
        control: Path of the control socket, which a reload leaves where it is.

    Raises:
        EventwriterError: It cannot be used.
    """
    loaded = load_to_run(path, os.environ)
    if not loaded.settings.enabled:
        raise Fatal(f"eventwriter is no longer enabled in {loaded.source}: stop the daemon instead")
    return replace(whole_fleet(loaded.settings, control), warnings=loaded.warnings)


def whole_fleet(settings: Settings, control: str) -> DesiredState:
    """Return the workers to run, and the web child beside them, which asks at the control socket `control`."""
    web = web_fleet(settings, partial(web_child, settings, control))
    return replace(fleet_of(settings, partial(child, settings)), web=web, refit=partial(whole_fleet, control=control))


def child(settings: Settings, slot: SlotName, link: socket.socket) -> int:
    """Live a worker's life, in a forked child; returns the exit code."""
    from eventwriter.worker import main as worker  # loaded long since, by `run`; only the name is fetched

    logs.configure(settings.log, str(slot))
    return worker.run(settings, slot, link)


def web_child(settings: Settings, control: str, slot: SlotName, link: socket.socket) -> int:
    """Live the web child's life, in a forked child; returns the exit code."""
    from eventwriter.web import main as web  # its libraries are nobody else's: loaded in this process only

    logs.configure(settings.log, str(slot))
    return web.run(settings, control, link)


def share_memory() -> None:
    """
    Make ready to fork: what is loaded by now is never traversed, and so never copied, by a child's collector.

    Raises:
        Fatal: A thread is running; a lock that it holds would stay locked in every child.
    """
    if threading.active_count() != 1:
        names = ", ".join(sorted(thread.name for thread in threading.enumerate()))
        raise Fatal(f"the daemon cannot fork while threads run ({names}); please report this, it is a bug")
    gc.collect()
    gc.freeze()
