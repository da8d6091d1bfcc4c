"""
What comes in and where it lands: one literal table.

To add a kind: a file in `formats/` if its encoding is new, a file in `tables/`, and
one line here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from eventwriter.errors import Fatal
from eventwriter.formats import otlp_traces, plain_json
from eventwriter.model import Message, Record
from eventwriter.tables.netflow_metrics import NETFLOW_METRICS
from eventwriter.tables.ocsf_network_activity import OCSF_NETWORK_ACTIVITY
from eventwriter.tables.otel_traces import OTEL_TRACES
from eventwriter.tables.table import Table
from eventwriter.tables.timeseries_metrics import TIMESERIES_METRICS


@dataclass(frozen=True, slots=True)
class Kind:
    """
    One kind of message.

    Attributes:
        decode: Bytes to records; raises only `Poison`.
        tables: Where its records go unless the configuration names tables. Where there are
            several, each record goes into those whose shape it has.
        also: Tables that it can fill instead or besides, when they are named.
    """

    name: str
    decode: Callable[[Message], list[Record]]
    tables: tuple[Table, ...]
    also: tuple[Table, ...] = ()


def _json(message: Message) -> list[Record]:
    return plain_json.decode(message.payload)


KINDS: Mapping[str, Kind] = {
    "telemetry": Kind("telemetry", _json, (TIMESERIES_METRICS,)),
    "netflow": Kind("netflow", _json, (OCSF_NETWORK_ACTIVITY,), also=(NETFLOW_METRICS,)),
    "otel_traces": Kind("otel_traces", otlp_traces.decode, (OTEL_TRACES,)),
}


def kind(name: str) -> Kind:
    """
    Look a kind up.

    Raises:
        Fatal: This version does not have it.
    """
    found = KINDS.get(name)
    if found is None:
        raise Fatal(f"kind {name!r} is not in this version of eventwriter; it has {', '.join(KINDS)}")
    return found
