"""
Names that belong to each kind: its tables and the subjects of its default stream entry. Pure data.

The configuration reads this module; `registry` attaches decoders and table definitions to the
same names. To add a kind, add a row here, a row in `registry`, and its table under `tables/`.
"""

from collections.abc import Mapping
from typing import NamedTuple


class KindNames(NamedTuple):
    """Names that belong to one kind."""

    tables: tuple[str, ...] = ()
    """Tables that an entry of this kind writes unless it names others."""
    optional_tables: tuple[str, ...] = ()
    """Tables that this kind can also write, if an entry names them."""
    subjects: tuple[str, ...] = ()
    """Subjects of the default stream entry, which is named like the kind in capitals; empty for no such entry."""


KINDS: Mapping[str, KindNames] = {
    "telemetry": KindNames(("timeseries_metrics",), (), ("telemetry.>",)),
    "events": KindNames(("ocsf_events", "events"), (), ("events.>",)),
    "sweep": KindNames(("ocsf_network_activity",), ("sweep_host_states",), ("sweep.>",)),
    "netflow": KindNames(("ocsf_network_activity",), ("netflow_metrics",), ("netflow.>",)),
    "otel_metrics": KindNames(("otel_metrics",), (), ("otel.metrics", "otel.metrics.>")),
    "otel_traces": KindNames(("otel_traces",), (), ("otel.traces", "otel.traces.>")),
    "logs": KindNames(("ocsf_events",), ("logs",), ("logs.>",)),
    "json": KindNames(),
}

KIND_OF_TABLE: Mapping[str, str] = {
    "timeseries_metrics": "telemetry",
    "events": "events",
    "ocsf_events": "events",
    "sweep_host_states": "sweep",
    "netflow_metrics": "netflow",
    "ocsf_network_activity": "netflow",
    "otel_metrics": "otel_metrics",
    "otel_traces": "otel_traces",
    "logs": "logs",
}
"""Kind of an entry that names only a table; of the two kinds that share a table, the more common one."""

DEFAULT_SUBJECTS: Mapping[str, tuple[str, ...]] = {
    name.upper(): names.subjects for name, names in KINDS.items() if names.subjects
}
"""Subjects of a stream entry that gives only its name; also the entries of a configuration that lists none."""

ENTRY_POINT_GROUP = "eventwriter.kinds"
"""Entry-point group in which an installed package registers additional kinds."""
