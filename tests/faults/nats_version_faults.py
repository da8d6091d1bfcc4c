"""Faults on other NATS server versions: discovery of installed servers, and faults specific to old versions."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults.environment import Environment, Setup
from faults.harness import Fault, Injection

CACHE = Path(__file__).resolve().parents[2] / ".cache"
"""Folder in which `.ci/extras` installs other servers, one subfolder each."""
PATHS = ("bin/nats-server", "usr/sbin/nats-server")


def find(version: str) -> Path | None:
    """Return the installed nats-server whose version starts with `version`; None if there is none."""
    for folder in sorted(CACHE.glob(f"nats-{version}*")):
        for path in PATHS:
            if (folder / path).exists():
                return folder / path
    on_path = shutil.which("nats-server") or "/usr/sbin/nats-server"
    if os.access(on_path, os.X_OK):
        output = subprocess.run([on_path, "--version"], capture_output=True, text=True, check=False).stdout
        if f"v{version}" in output:
            return Path(on_path)
    return None


def missing(version: str) -> str | None:
    """Return the reason to skip tests with this version; None if it is installed."""
    if find(version) is None:
        return f"nats-server {version} is not installed in {CACHE.name}/nats-{version}*; run .ci/extras"
    return None


def of_version(version: str) -> Callable[[Environment], None]:
    """Return a function that prepares an environment with this server version."""

    def prepare(env: Environment) -> None:
        env.configure_nats(program=find(version), keep=False)
        env.write()

    return prepare


def killed(env: Environment) -> Injection:
    env.servers.nats.kill()
    env.wait(0.3)
    env.servers.nats.start()
    yield


def consumer_deleted(env: Environment) -> Injection:
    env.js(lambda js: js.delete_consumer("events", "eventwriter-telemetry"))
    yield


def filter_changed_and_deleted(env: Environment) -> Injection:
    """This server cannot reset a consumer, so the operator has to delete it as the hint says."""
    from faults.nats_faults import DURABLE, update_consumer

    env.js(lambda js: update_consumer(js, {"filter_subject": "netflow.x"}))
    env.until_slot("the hint is shown", lambda slot: f"nats consumer rm events {DURABLE}" in (slot["reason"] or ""))
    env.js(lambda js: js.delete_consumer("events", DURABLE))
    yield


def several_filters(env: Environment) -> Injection:
    """This server ignores all but one filter subject and would deliver every message."""
    reload(env, streams={"subjects": ["telemetry.test", "telemetry.more"]})
    env.until_slot("the limitation is reported", lambda slot: "supports only one" in (slot["reason"] or ""))
    reload(env)
    yield


def reload(env: Environment, **changes: Any) -> None:
    """Change and reload the configuration of the running daemon."""
    env.write(**changes)
    assert env.daemon.process is not None
    env.daemon.process.send_signal(signal.SIGHUP)


OLD = Setup("nats 2.9", of_version("2.9"))
FAULTS = tuple(
    Fault(f"NATS 2.9: {name}", "nats", description, inject, setup=OLD, missing=lambda: missing("2.9"))
    for name, description, inject in (
        ("server killed", "kill -9; restarted after 0.3 s", killed),
        ("consumer deleted", "in use; this version does not answer pulls without a consumer", consumer_deleted),
        ("filter changed", "and the consumer deleted when the daemon asks for it", filter_changed_and_deleted),
        ("several filters", "configured and removed again; this version supports one filter only", several_filters),
    )
)
