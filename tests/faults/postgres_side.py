"""Faults of the PostgreSQL side; how they are written is said in `harness`."""

from faults.harness import Fault

FAULTS: tuple[Fault, ...] = ()
