"""Faults of the process side; how they are written is said in `harness`."""

from faults.harness import Fault

FAULTS: tuple[Fault, ...] = ()
