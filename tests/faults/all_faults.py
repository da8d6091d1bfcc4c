"""List of all faults, grouped by environment so that each environment is created once."""

from faults import batch_variants, nats_faults, postgres_faults, process_faults
from faults.harness import Fault

FAULTS: tuple[Fault, ...] = tuple(
    sorted(
        (*nats_faults.FAULTS, *postgres_faults.FAULTS, *process_faults.FAULTS, *batch_variants.FAULTS),
        key=lambda fault: fault.setup.name,
    )
)
