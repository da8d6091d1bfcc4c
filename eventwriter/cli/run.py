"""
`eventwriter run`: load the settings, bind the control socket, import the worker's code, start the supervisor.

The worker's modules are imported here before the first fork, so that all children share
their memory. The supervisor itself gets a plain callable.
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

from eventwriter.cli.load_runtime import load_runtime
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
@click.option("--config", "config_path", metavar="FILE", help="Configuration file, as for `eventwriter --config`.")
def run(config_path: str | None) -> int:
    """
    Run the daemon in the foreground until SIGTERM or SIGINT.

    SIGTERM and SIGINT drain and exit (a second one does not wait), SIGHUP reloads the configuration, SIGUSR1
    dumps stacks to stderr.
    """
    # Signals that arrive before the supervisor's loop runs are handled by the loop.
    with signals_held():
        supervisor = prepare(config_path)
    return supervisor.run() if supervisor is not None else 0


def prepare(config_path: str | None) -> Supervisor | None:
    """
    Prepare for forking workers; return None, with a message, if the daemon is not enabled.

    Raises:
        EventwriterError: The configuration is invalid, or the control socket cannot be bound.
    """
    loaded = load_runtime(config_path, os.environ)
    settings, source = loaded.settings, loaded.source
    logs.configure(settings.log)
    for warning in loaded.warnings:
        log.warning(warning)
    if not settings.enabled:
        click.echo(
            f"eventwriter is not enabled ({source}): set EVENT_WRITER_ENABLED=true, or enabled = true in the file",
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
    # Not for secrets; the jitter only keeps workers from restarting simultaneously.
    jitter = random.Random().random  # noqa: S311
    again = partial(reread, config_path, control)
    return Supervisor(fleet, claimed, again, Notifier.from_environ(os.environ), jitter)


def reread(path: str | None, control: str) -> DesiredState:
    """
    Reload the configuration.

    Args:
        path: Configuration file.
        control: Path of the control socket, which a reload does not change.

    Raises:
        EventwriterError: The configuration is invalid, or no longer enabled.
    """
    loaded = load_runtime(path, os.environ)
    if not loaded.settings.enabled:
        raise Fatal(f"eventwriter is no longer enabled in {loaded.source}; to stop it, stop the daemon")
    return replace(whole_fleet(loaded.settings, control), warnings=loaded.warnings)


def whole_fleet(settings: Settings, control: str) -> DesiredState:
    """Return the workers to run and the web child, which connects to the control socket `control`."""
    web = web_fleet(settings, partial(web_child, settings, control))
    return replace(fleet_of(settings, partial(child, settings)), web=web, refit=partial(whole_fleet, control=control))


def child(settings: Settings, slot: SlotName, link: socket.socket) -> int:
    """Run a worker in a forked child and return the exit code."""
    from eventwriter.worker import main as worker  # already imported by `run`

    logs.configure(settings.log, str(slot))
    return worker.run(settings, slot, link)


def web_child(settings: Settings, control: str, slot: SlotName, link: socket.socket) -> int:
    """Run the web server in a forked child and return the exit code."""
    from eventwriter.web import main as web  # its libraries are loaded in this process only

    logs.configure(settings.log, str(slot))
    return web.run(settings, control, link)


def share_memory() -> None:
    """
    Exclude loaded objects from garbage collection, so that children do not copy their memory pages.

    Raises:
        Fatal: A thread is running, whose locks would stay locked in every child.
    """
    if threading.active_count() != 1:
        names = ", ".join(sorted(thread.name for thread in threading.enumerate()))
        raise Fatal(f"the daemon cannot fork while threads run ({names}); please report this, it is a bug")
    gc.collect()
    gc.freeze()
