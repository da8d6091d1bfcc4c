"""
Table of all kinds: for each name in `names`, the decoder and the table definitions.

To add a kind, add a row to `names`, a row here, a file in `tables/`, and a file in `formats/` if
its encoding is new.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import entry_points

from eventwriter.errors import Fatal, Poison
from eventwriter.formats import cloudevents, json, telegraf
from eventwriter.formats.flow import flow_message
from eventwriter.formats.otlp import logs as otlp_logs
from eventwriter.formats.otlp import metrics, traces
from eventwriter.kinds import names
from eventwriter.model import Message, Record
from eventwriter.tables.events import EVENTS
from eventwriter.tables.generic import table as generic_table
from eventwriter.tables.netflow.metrics import NETFLOW_METRICS
from eventwriter.tables.ocsf.events import OCSF_EVENTS
from eventwriter.tables.ocsf.events_from_logs import OCSF_EVENTS_FROM_LOGS
from eventwriter.tables.ocsf.network_activity import OCSF_NETWORK_ACTIVITY
from eventwriter.tables.ocsf.network_activity_from_sweep import OCSF_NETWORK_ACTIVITY_FROM_SWEEP
from eventwriter.tables.otel.logs import LOGS
from eventwriter.tables.otel.metrics import OTEL_METRICS
from eventwriter.tables.otel.traces import OTEL_TRACES
from eventwriter.tables.sweep_host_states import SWEEP_HOST_STATES
from eventwriter.tables.table import Build, Row, RowBuilder, Table, TableGenerator
from eventwriter.tables.timeseries import TIMESERIES_METRICS


@dataclass(frozen=True, slots=True)
class Kind:
    """
    One kind of message.

    Attributes:
        decode: Decodes a message to records; raises only `Poison`.
        tables: Tables that are filled unless the configuration names tables. If there are
            several, each record goes to those that accept its shape.
        also: Further tables that the configuration may name.
        any_table: Defines the table that the configuration names, for a kind without tables of its own.
    """

    name: str
    decode: Callable[[Message], list[Record]]
    tables: tuple[Table, ...]
    also: tuple[Table, ...] = ()
    any_table: TableGenerator | None = None


def _json(message: Message) -> list[Record]:
    return json.decode(message.payload)


def _events(message: Message) -> list[Record]:
    headers = message.headers
    if headers and (event := cloudevents.from_headers(headers, message.payload)) is not None:
        return [event]
    return json.decode(message.payload)


def _telemetry(message: Message) -> list[Record]:
    # Hot: once per message.
    records = json.decode(message.payload)
    for record in records:
        if "fields" in record or "metrics" in record:
            return telegraf.telemetry(records)
    return records


def _flow(message: Message) -> list[Record]:
    return json.decode_json_or_protobuf(message.payload, flow_message.decode)


def _kind(
    name: str, decode: Callable[[Message], list[Record]], *definitions: Table, any_table: TableGenerator | None = None
) -> Kind:
    """Attach a decoder and the definitions of all its tables to a kind's names."""
    by_name = {table.name: table for table in definitions}
    tables, optional_tables, _ = names.KINDS[name]
    also = tuple(by_name[table] for table in optional_tables)
    return Kind(name, decode, tuple(by_name[table] for table in tables), also, any_table)


KINDS: Mapping[str, Kind] = {
    "telemetry": _kind("telemetry", _telemetry, TIMESERIES_METRICS),
    "events": _kind("events", _events, OCSF_EVENTS, EVENTS),
    "sweep": _kind("sweep", _json, OCSF_NETWORK_ACTIVITY_FROM_SWEEP, SWEEP_HOST_STATES),
    "netflow": _kind("netflow", _flow, OCSF_NETWORK_ACTIVITY, NETFLOW_METRICS),
    "otel_metrics": _kind("otel_metrics", metrics.decode, OTEL_METRICS),
    "otel_traces": _kind("otel_traces", traces.decode, OTEL_TRACES),
    "logs": _kind("logs", otlp_logs.decode, OCSF_EVENTS_FROM_LOGS, LOGS),
    "json": _kind("json", _json, any_table=generic_table.generate_tables),
}


def kind(name: str) -> Kind:
    """
    Return a kind by its name: a built-in one, or one from an installed package.

    Raises:
        Fatal: No kind has that name, or the package's kind is unusable.
    """
    found = KINDS.get(name) or custom_kind(name)
    if found is None:
        raise Fatal(
            f"kind {name!r} does not exist in this version of eventwriter",
            code="unknown_kind",
            hint=f"use one of {', '.join(KINDS)}, or install the package that provides it",
        )
    return found


def custom_kind(name: str) -> Kind | None:
    """
    Load a kind from the entry-point group `eventwriter.kinds`; return None if no package provides it.

    Exceptions other than `Poison` from the code of such a kind become `Poison`.

    Raises:
        Fatal: The kind cannot be loaded, or is not a `Kind` of that name with tables.
    """
    points = list(entry_points(group=names.ENTRY_POINT_GROUP, name=name))
    if not points:
        return None
    where = " and ".join(f"{point.dist.name if point.dist else '?'} ({point.value})" for point in points)
    if len(points) > 1:
        raise Fatal(f"kind {name!r} is provided by {where}", code="invalid_kind", hint="uninstall all but one")
    try:
        found = points[0].load()
    except Exception as error:  # code of another package
        raise Fatal(
            f"kind {name!r} of package {where} failed to load: {type(error).__name__}: {error}",
            code="invalid_kind",
            hint="fix or uninstall the package",
        ) from error
    if not isinstance(found, Kind):
        raise Fatal(
            f"kind {name!r} of package {where} is a {type(found).__name__}, not an eventwriter.kinds.registry.Kind",
            code="invalid_kind",
        )
    if found.name != name or not (found.tables or found.any_table):
        raise Fatal(
            f"kind {name!r} of package {where} is named {found.name!r} and has {len(found.tables)} tables",
            code="invalid_kind",
            hint="its name must equal the name of the entry point, and it needs at least one table",
        )
    return _guarded(found)


def _guarded(custom: Kind) -> Kind:
    """Return the kind with its unexpected exceptions converted to `Poison`."""

    def decode(message: Message) -> list[Record]:
        try:
            return custom.decode(message)
        except Poison:
            raise
        except Exception as error:  # code of another package
            raise _poison(custom.name, "malformed", "decoder", error) from error

    def guarded(table: Table) -> Table:
        def builder(build: Build) -> RowBuilder:
            make = table.builder(build)

            def row(record: Record, message: Message, index: int) -> Row | None:
                try:
                    return make(record, message, index)
                except Poison:
                    raise
                except Exception as error:  # code of another package
                    raise _poison(custom.name, "bad_value", f"row builder of table {table.name}", error) from error

            return row

        return replace(table, builder=builder)

    return replace(
        custom, decode=decode, tables=tuple(map(guarded, custom.tables)), also=tuple(map(guarded, custom.also))
    )


def _poison(name: str, reason: str, source: str, error: Exception) -> Poison:
    return Poison(reason, f"the {source} of kind {name} raised {type(error).__name__}: {error}")
