"""The long form: random faults in random order, for as long as is asked for."""

import random
import time

import pytest
from faults.harness import SEED
from faults.table import FAULTS
from fix_faults import Beds, long_s

# nats-py leaves sockets of connections that were cut to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


FAILURES_MAX = 50
"""No more is learnt from more: nothing works here."""


def test_random_faults_for_hours(beds: Beds, pytestconfig: pytest.Config) -> None:
    """Whatever follows whatever, nothing is lost, nothing twice, nothing stalls."""
    duration_s = long_s(pytestconfig)
    if not duration_s:
        pytest.skip("the long form runs with --long 2h, or EVENTWRITER_FAULTS_LONG=2h")
    print(f"seed {SEED}: EVENTWRITER_TEST_SEED={SEED} repeats this", flush=True)
    rng, until = random.Random(SEED), time.monotonic() + duration_s
    possible = [fault for fault in FAULTS if fault.needs() is None]
    failures = []
    while time.monotonic() < until:
        fault, seed = rng.choice(possible), rng.randrange(10**6)
        try:
            print(beds.run(fault, seed).line(), flush=True)
        except Exception as error:  # the bed is thrown away: whatever it was, the next fault has another one
            failures.append(f"{fault.area}: {fault.name} (EVENTWRITER_TEST_SEED={seed}): {error!r}")
            print(f"FAILED {failures[-1]}", flush=True)
            if len(failures) == FAILURES_MAX:
                break

    assert [] == failures
