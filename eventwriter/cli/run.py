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

from eventwriter.cli.loading import load_to_run
from eventwriter.config.settings import Settings
from eventwriter.control.listen import claim
from eventwriter.errors import Fatal
from eventwriter.model import SlotName
from eventwriter.observe import logs
from eventwriter.supervisor.fleet import Fleet, fleet_of
from eventwriter.supervisor.main import Supervisor
from eventwriter.supervisor.notify import Notifier
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
    settings, source = read(config_path)
    if not settings.enabled:
        click.echo(
            f"eventwriter is not enabled ({source}): set EVENT_WRITER_ENABLED=true, or enabled to true in the file",
            err=True,
        )
        return 0
    fleet = whole_fleet(settings)
    if not fleet.fingerprints:
        raise Fatal(f"no stream is enabled in {source}: enable at least one entry of streams")
    claimed = claim(settings.control.socket, settings.control.mode, settings.control.group)
    log.info("control socket is open", extra={"path": claimed.path})
    importlib.import_module(WORKER)
    share_memory()
    faulthandler.register(signal.SIGUSR1, file=STDERR)
    # Not for secrets: the jitter only keeps workers from restarting in step.
    jitter = random.Random().random  # noqa: S311
    return Supervisor(fleet, claimed, partial(reread, config_path), Notifier.from_environ(os.environ), jitter).run()


def read(path: str | None) -> tuple[Settings, str]:
    """
    Read the configuration, start logging as it says, and log what it warns of.

    Returns:
        The settings, and where they come from, in words.

    Raises:
        ConfigError: With every mistake.
    """
    loaded = load_to_run(path, os.environ)
    logs.configure(loaded.settings.log)
    for warning in loaded.warnings:
        log.warning(warning)
    return loaded.settings, loaded.source


def reread(path: str | None) -> Fleet:
    """
    Read the configuration again, for a reload.

    Raises:
        EventwriterError: It cannot be used.
    """
    settings, source = read(path)
    if not settings.enabled:
        raise Fatal(f"eventwriter is no longer enabled in {source}: stop the daemon instead")
    return whole_fleet(settings)


def whole_fleet(settings: Settings) -> Fleet:
    """Return the workers to run, and the web child beside them."""
    web = web_fleet(settings, partial(web_child, settings))
    return replace(fleet_of(settings, partial(child, settings)), web=web)


def child(settings: Settings, slot: SlotName, link: socket.socket) -> int:
    """Live a worker's life, in a forked child; returns the exit code."""
    from eventwriter.worker import main as worker  # loaded long since, by `run`; only the name is fetched

    logs.configure(settings.log, str(slot))
    return worker.run(settings, slot, link)


def web_child(settings: Settings, slot: SlotName, link: socket.socket) -> int:
    """Live the web child's life, in a forked child; returns the exit code."""
    from eventwriter.web import main as web  # its libraries are nobody else's: loaded in this process only

    logs.configure(settings.log, str(slot))
    return web.run(settings, link)


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
