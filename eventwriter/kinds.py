"""
What comes in and where it lands: one literal table.

To add a kind: a file in `formats/` if its encoding is new, a file in `tables/`, and
one line here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from eventwriter.errors import Fatal
from eventwriter.formats import flow_message, json_or_protobuf, otlp_logs, otlp_metrics, otlp_traces, plain_json
from eventwriter.model import Message, Record
from eventwriter.tables.events import EVENTS
from eventwriter.tables.logs import LOGS
from eventwriter.tables.netflow_metrics import NETFLOW_METRICS
from eventwriter.tables.ocsf_events import OCSF_EVENTS
from eventwriter.tables.ocsf_events_of_logs import OCSF_EVENTS_OF_LOGS
from eventwriter.tables.ocsf_network_activity import OCSF_NETWORK_ACTIVITY
from eventwriter.tables.ocsf_network_activity_of_sweep import OCSF_NETWORK_ACTIVITY_OF_SWEEP
from eventwriter.tables.otel_metrics import OTEL_METRICS
from eventwriter.tables.otel_traces import OTEL_TRACES
from eventwriter.tables.sweep_host_states import SWEEP_HOST_STATES
from eventwriter.tables.table import MakeTable, Table
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
        any_table: Makes the definition of whatever table the configuration names; the kind has none of its own then.
    """

    name: str
    decode: Callable[[Message], list[Record]]
    tables: tuple[Table, ...]
    also: tuple[Table, ...] = ()
    any_table: MakeTable | None = None


def _json(message: Message) -> list[Record]:
    return plain_json.decode(message.payload)


def _flow(message: Message) -> list[Record]:
    return json_or_protobuf.decode(message.payload, flow_message.decode)


KINDS: Mapping[str, Kind] = {
    "telemetry": Kind("telemetry", _json, (TIMESERIES_METRICS,)),
    "events": Kind("events", _json, (OCSF_EVENTS, EVENTS)),
    "sweep": Kind("sweep", _json, (OCSF_NETWORK_ACTIVITY_OF_SWEEP,), also=(SWEEP_HOST_STATES,)),
    "netflow": Kind("netflow", _flow, (OCSF_NETWORK_ACTIVITY,), also=(NETFLOW_METRICS,)),
    "otel_metrics": Kind("otel_metrics", otlp_metrics.decode, (OTEL_METRICS,)),
    "otel_traces": Kind("otel_traces", otlp_traces.decode, (OTEL_TRACES,)),
    "logs": Kind("logs", otlp_logs.decode, (OCSF_EVENTS_OF_LOGS,), also=(LOGS,)),
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
