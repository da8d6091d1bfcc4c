"""Faults of the NATS side; how they are written is said in `harness`."""

from faults.bed import Bed
from faults.harness import Act, Fault


def nothing(bed: Bed) -> Act:
    """No fault at all: the harness by itself."""
    yield


def killed(bed: Bed) -> Act:
    bed.servers.nats.kill()
    bed.wait(0.5)
    bed.servers.nats.start()
    yield


FAULTS = (
    Fault("no fault", "nats", "nothing: the audit itself", nothing),
    Fault("server killed", "nats", "kill -9, 0.5 s down, started again", killed),
)
