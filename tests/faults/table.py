"""All faults, in the order of their beds: each bed is made once."""

from faults import nats_side, postgres_side, process_side
from faults.harness import Fault

FAULTS: tuple[Fault, ...] = tuple(
    sorted((*nats_side.FAULTS, *postgres_side.FAULTS, *process_side.FAULTS), key=lambda fault: fault.setup.name)
)
