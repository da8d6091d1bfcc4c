"""Soak test: random faults in random order, for as long as requested."""

import random
import time

import pytest
from faults.all_faults import FAULTS
from faults.harness import SEED
from fix_faults import Environments, soak_s

# nats-py leaves sockets of reset connections to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


FAILURES_MAX = 50
"""After so many failures the run ends: more would add no information."""


def test_random_faults_lose_and_duplicate_nothing(environments: Environments, pytestconfig: pytest.Config) -> None:
    """No sequence of random faults loses or duplicates a message, or stalls the daemon."""
    duration_s = soak_s(pytestconfig)
    if not duration_s:
        pytest.skip("runs only with --long 2h or EVENTWRITER_FAULTS_LONG=2h")
    print(f"repeat this run with EVENTWRITER_TEST_SEED={SEED}", flush=True)
    rng, until = random.Random(SEED), time.monotonic() + duration_s
    possible = [fault for fault in FAULTS if fault.missing() is None]
    failures = []
    while time.monotonic() < until:
        fault, seed = rng.choice(possible), rng.randrange(10**6)
        try:
            print(environments.run(fault, seed).line(), flush=True)
        except Exception as error:  # the environment is discarded after any error; the next fault gets a new one
            failures.append(f"{fault.area}: {fault.name} (EVENTWRITER_TEST_SEED={seed}): {error!r}")
            print(f"FAILED {failures[-1]}", flush=True)
            if len(failures) == FAILURES_MAX:
                break

    assert [] == failures
