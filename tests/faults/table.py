"""All faults, in the order of their beds: each bed is made once."""

from faults import nats_side, other_tables, postgres_side, process_side
from faults.harness import Fault

FAULTS: tuple[Fault, ...] = tuple(
    sorted(
        (*nats_side.FAULTS, *postgres_side.FAULTS, *process_side.FAULTS, *other_tables.FAULTS),
        key=lambda fault: fault.setup.name,
    )
)
