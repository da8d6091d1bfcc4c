"""Every fault of the table, once: nothing lost, nothing twice, nothing stalls."""

import pytest
from faults.harness import SEED, Fault
from faults.table import FAULTS
from fix_faults import Beds, every

# nats-py leaves sockets of connections that were cut to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.area}: {fault.name}")
def test_fault(beds: Beds, fault: Fault, pytestconfig: pytest.Config) -> None:
    """After the fault rows + dead letters = book, each once, and everything is as it was before."""
    if not fault.brief and not every(pytestconfig):
        pytest.skip("no part of the short form; --faults-all runs every fault")
    if (missing := fault.needs()) is not None:
        beds.skip(fault, missing)
        pytest.skip(missing)
    print(beds.run(fault, SEED).line())
