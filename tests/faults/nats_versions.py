"""Faults at NATS servers of other versions: which of them are here, and what is special to the old ones."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults.bed import Bed, Setup
from faults.harness import Act, Fault

CACHE = Path(__file__).resolve().parents[2] / ".cache"
"""Where `.ci/run` puts other servers: one folder for each."""
PLACES = ("bin/nats-server", "usr/sbin/nats-server")


def find(version: str) -> Path | None:
    """Return the nats-server whose version begins so; None where it is not here."""
    for folder in sorted(CACHE.glob(f"nats-{version}*")):
        for place in PLACES:
            if (folder / place).exists():
                return folder / place
    on_path = shutil.which("nats-server") or "/usr/sbin/nats-server"
    if os.access(on_path, os.X_OK):
        said = subprocess.run([on_path, "--version"], capture_output=True, text=True, check=False).stdout
        if f"v{version}" in said:
            return Path(on_path)
    return None


def missing(version: str) -> str | None:
    """Return why tests with this version are skipped; None where it is here."""
    if find(version) is None:
        return f"no nats-server {version} in {CACHE.name}/nats-{version}*; .ci/run puts it there"
    return None


def of_version(version: str) -> Callable[[Bed], None]:
    """Return what prepares a bed with that server."""

    def prepare(bed: Bed) -> None:
        bed.configure_nats(program=find(version), keep=False)
        bed.write()

    return prepare


def killed(bed: Bed) -> Act:
    bed.servers.nats.kill()
    bed.wait(0.3)
    bed.servers.nats.start()
    yield


def consumer_deleted(bed: Bed) -> Act:
    bed.js(lambda js: js.delete_consumer("events", "eventwriter-telemetry"))
    yield


def filter_changed_and_back(bed: Bed) -> Act:
    """The server cannot reset a consumer, so it has to be deleted, as the error says."""
    from faults.nats_side import DURABLE, update

    bed.js(lambda js: update(js, {"filter_subject": "netflow.x"}))
    bed.until_slot("it says what to do", lambda slot: f"nats consumer rm events {DURABLE}" in (slot["reason"] or ""))
    bed.js(lambda js: js.delete_consumer("events", DURABLE))
    yield


def several_filters(bed: Bed) -> Act:
    """One filter subject is all that the server knows: it would deliver everything, in silence."""
    reload(bed, streams={"subjects": ["telemetry.test", "telemetry.more"]})
    bed.until_slot("it says what is missing", lambda slot: "supports only one" in (slot["reason"] or ""))
    reload(bed)
    yield


def reload(bed: Bed, **changes: Any) -> None:
    """Change the daemon's configuration while it runs."""
    bed.write(**changes)
    assert bed.daemon.process is not None
    bed.daemon.process.send_signal(signal.SIGHUP)


OLD = Setup("nats 2.9", of_version("2.9"))
FAULTS = tuple(
    Fault(f"NATS 2.9: {name}", "nats", does, act, setup=OLD, needs=lambda: missing("2.9"))
    for name, does, act in (
        ("server killed", "kill -9, 0.3 s down, started again", killed),
        ("consumer deleted", "deleted in use; this server says nothing to pulls without a consumer", consumer_deleted),
        ("filter changed", "by hand; the consumer is removed when the daemon says so", filter_changed_and_back),
        ("several filters", "subjects are configured that this server cannot filter, then not", several_filters),
    )
)
