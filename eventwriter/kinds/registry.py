"""
What comes in and where it lands: one literal table.

To add a kind: a file in `formats/` if its encoding is new, a file in `tables/`, and
one line here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import entry_points

from eventwriter.config.settings import KINDS_GROUP
from eventwriter.errors import Fatal, Poison
from eventwriter.formats import json
from eventwriter.formats.flow import flow_message
from eventwriter.formats.otlp import logs as otlp_logs
from eventwriter.formats.otlp import metrics, traces
from eventwriter.model import Message, Record
from eventwriter.tables.events import EVENTS
from eventwriter.tables.generic import table as any_table
from eventwriter.tables.netflow.metrics import NETFLOW_METRICS
from eventwriter.tables.ocsf.events import OCSF_EVENTS
from eventwriter.tables.ocsf.events_from_logs import OCSF_EVENTS_OF_LOGS
from eventwriter.tables.ocsf.network_activity import OCSF_NETWORK_ACTIVITY
from eventwriter.tables.ocsf.network_activity_from_sweep import OCSF_NETWORK_ACTIVITY_OF_SWEEP
from eventwriter.tables.otel.logs import LOGS
from eventwriter.tables.otel.metrics import OTEL_METRICS
from eventwriter.tables.otel.traces import OTEL_TRACES
from eventwriter.tables.sweep_host_states import SWEEP_HOST_STATES
from eventwriter.tables.table import Build, MakeTable, Row, RowBuilder, Table
from eventwriter.tables.timeseries import TIMESERIES_METRICS


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
    return json.decode(message.payload)


def _flow(message: Message) -> list[Record]:
    return json.decode_json_or_protobuf(message.payload, flow_message.decode)


KINDS: Mapping[str, Kind] = {
    "telemetry": Kind("telemetry", _json, (TIMESERIES_METRICS,)),
    "events": Kind("events", _json, (OCSF_EVENTS, EVENTS)),
    "sweep": Kind("sweep", _json, (OCSF_NETWORK_ACTIVITY_OF_SWEEP,), also=(SWEEP_HOST_STATES,)),
    "netflow": Kind("netflow", _flow, (OCSF_NETWORK_ACTIVITY,), also=(NETFLOW_METRICS,)),
    "otel_metrics": Kind("otel_metrics", metrics.decode, (OTEL_METRICS,)),
    "otel_traces": Kind("otel_traces", traces.decode, (OTEL_TRACES,)),
    "logs": Kind("logs", otlp_logs.decode, (OCSF_EVENTS_OF_LOGS,), also=(LOGS,)),
    "json": Kind("json", _json, (), any_table=any_table.make),
}


def kind(name: str) -> Kind:
    """
    Look a kind up: ours, or one that an installed package brings.

    Raises:
        Fatal: There is none of that name, or the package's is broken.
    """
    found = KINDS.get(name) or custom_kind(name)
    if found is None:
        raise Fatal(f"kind {name!r} is not in this version of eventwriter; it has {', '.join(KINDS)}")
    return found


def custom_kind(name: str) -> Kind | None:
    """
    Load a kind from the entry-point group `eventwriter.kinds.registry`; None where no package brings it.

    Whatever its code raises instead of `Poison` makes a dead letter, not a crash.

    Raises:
        Fatal: It cannot be loaded, or is no `Kind` of that name with tables.
    """
    points = list(entry_points(group=KINDS_GROUP, name=name))
    if not points:
        return None
    where = " and ".join(f"{point.dist.name if point.dist else '?'} ({point.value})" for point in points)
    if len(points) > 1:
        raise Fatal(f"kind {name!r} is brought by {where}; uninstall all but one")
    try:
        found = points[0].load()
    except Exception as error:  # somebody else's code
        told = f"{type(error).__name__}: {error}"
        raise Fatal(f"kind {name!r} of package {where} cannot be loaded: {told}; mend or uninstall it") from error
    if not isinstance(found, Kind):
        raise Fatal(
            f"kind {name!r} of package {where} is a {type(found).__name__}, not an eventwriter.kinds.registry.Kind"
        )
    if found.name != name or not (found.tables or found.any_table):
        raise Fatal(
            f"kind {name!r} of package {where} calls itself {found.name!r} and has {len(found.tables)} tables;"
            " its name must be the entry point's, and it needs one table or more"
        )
    return _guarded(found)


def _guarded(custom: Kind) -> Kind:
    """Return the kind with its mistakes made into poison."""

    def decode(message: Message) -> list[Record]:
        try:
            return custom.decode(message)
        except Poison:
            raise
        except Exception as error:  # somebody else's code
            raise _mistake(custom.name, "malformed", "decoder", error) from error

    def guarded(table: Table) -> Table:
        def builder(build: Build) -> RowBuilder:
            make = table.builder(build)

            def row(record: Record, message: Message, index: int) -> Row | None:
                try:
                    return make(record, message, index)
                except Poison:
                    raise
                except Exception as error:  # somebody else's code
                    raise _mistake(custom.name, "bad_value", f"row builder of table {table.name}", error) from error

            return row

        return replace(table, builder=builder)

    return replace(
        custom, decode=decode, tables=tuple(map(guarded, custom.tables)), also=tuple(map(guarded, custom.also))
    )


def _mistake(name: str, reason: str, what: str, error: Exception) -> Poison:
    return Poison(reason, f"the {what} of kind {name} raised {type(error).__name__}: {error}")
