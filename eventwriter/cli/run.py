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
from eventwriter.cli.output import echo
from eventwriter.config.settings import Settings
from eventwriter.control.socket_lock import acquire
from eventwriter.errors import Fatal
from eventwriter.model import SlotName
from eventwriter.observe import logging as logs
from eventwriter.supervisor.desired_state import DesiredState, worker_state
from eventwriter.supervisor.main import Supervisor
from eventwriter.supervisor.processes import signals_blocked
from eventwriter.supervisor.slot import ChildName
from eventwriter.supervisor.systemd import Notifier
from eventwriter.supervisor.web import web_state

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
    with signals_blocked():
        supervisor = prepare(config_path)
    return supervisor.run() if supervisor is not None else 0


def prepare(config_path: str | None) -> Supervisor | None:
    """
    Return a supervisor that is ready to fork workers; None if the daemon is not enabled, which is printed.

    Raises:
        EventwriterError: The configuration or the control socket is unusable.
    """
    loaded = load_runtime(config_path, os.environ)
    settings, source = loaded.settings, loaded.source
    logs.configure(settings.log)
    for warning in loaded.warnings:
        log.warning(warning)
    if not settings.enabled:
        echo(
            f"eventwriter is not enabled ({source}): set EVENT_WRITER_ENABLED=true, or enabled = true in the file",
            err=True,
        )
        return None
    control = settings.control
    desired = desired_state(settings, control.socket)
    if not desired.fingerprints:
        raise Fatal(f"no stream is enabled in {source}", hint="enable at least one entry of streams")
    bound_socket = acquire(control.socket, control.mode, control.group, control.owner)
    log.info("control socket open", extra={"path": bound_socket.path})
    importlib.import_module(WORKER)
    share_memory()
    faulthandler.register(signal.SIGUSR1, file=STDERR)
    faulthandler.enable(file=STDERR)  # systemd's watchdog sends SIGABRT; the stacks say where the supervisor hung
    # Not for secrets; the jitter only keeps workers from restarting simultaneously.
    jitter = random.Random().random  # noqa: S311
    load_desired = partial(load_desired_state, config_path, control.socket)
    return Supervisor(desired, bound_socket, load_desired, Notifier.from_environ(os.environ), jitter)


def load_desired_state(path: str | None, socket_path: str) -> DesiredState:
    """
    Load the configuration again, for a reload.

    Args:
        path: Path of the configuration file.
        socket_path: Path of the control socket, which a reload does not change.

    Raises:
        EventwriterError: The configuration is invalid.
    """
    loaded = load_runtime(path, os.environ)
    if not loaded.settings.enabled:
        raise Fatal(f"eventwriter is no longer enabled in {loaded.source}", hint="stop the daemon instead")
    return replace(desired_state(loaded.settings, socket_path), warnings=loaded.warnings)


def desired_state(settings: Settings, socket_path: str) -> DesiredState:
    """Return the workers to run, and the web child, which reads the status from the control socket."""
    web = web_state(settings, partial(run_web, settings, socket_path))
    rebuild = partial(desired_state, socket_path=socket_path)
    return replace(worker_state(settings, partial(run_worker, settings)), web=web, rebuild=rebuild)


def run_worker(settings: Settings, name: ChildName, link: socket.socket) -> int:
    """Run a worker in a forked child; return its exit code."""
    from eventwriter.worker import main as worker  # imported before forking, by `prepare`

    assert isinstance(name, SlotName), f"{name} is not the name of a slot"
    logs.configure(settings.log, str(name))
    return worker.run(settings, name, link)


def run_web(settings: Settings, socket_path: str, name: ChildName, link: socket.socket) -> int:
    """Run the web child in a forked child; return its exit code."""
    from eventwriter.web import main as web  # its libraries are imported only in this process

    logs.configure(settings.log, str(name))
    return web.run(settings, socket_path, link)


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
