"""Every fault once: no message is lost or duplicated, and the daemon recovers."""

import pytest
from faults.all_faults import FAULTS
from faults.harness import SEED, Fault
from fix_faults import Environments, runs_all

# nats-py leaves sockets of reset connections to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.area}: {fault.name}")
def test_fault(environments: Environments, fault: Fault, pytestconfig: pytest.Config) -> None:
    """After the fault each message is one row or one dead letter, and the daemon is in the same state as before."""
    if not fault.quick and not runs_all(pytestconfig):
        pytest.skip("not in the quick selection; --faults-all runs every fault")
    if (missing := fault.missing()) is not None:
        environments.skip(fault, missing)
        pytest.skip(missing)
    print(environments.run(fault, SEED).line())
