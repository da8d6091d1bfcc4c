"""
Cost of decoding, row building and encoding, without servers: CPU µs per message.

Run with ``python benchmarks/stage_rows.py [KIND ...]``. Each figure is the best of
several rounds, because noise only adds time.
"""

import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from eventwriter.config.settings import Settings
from eventwriter.demo.traffic import TRAFFIC, well_formed
from eventwriter.formats.flow.flow_pb2 import FlowMessage
from eventwriter.kinds.registry import KINDS, Kind
from eventwriter.model import Adjustments, Message, Origin
from eventwriter.postgres.encode import encoder
from eventwriter.postgres.schema.catalog import RealColumn, bind
from eventwriter.tables.table import Build, Table

MESSAGES = 5000
ROUNDS = 9
REDACT = frozenset(Settings().redact)
NOW_NS = 1_704_067_200_000_000_000

_REAL_TYPES = {
    "float8": "double precision", "int4": "integer", "int8": "bigint", "bool": "boolean",
    "timestamptz": "timestamp with time zone", "int4[]": "integer[]",
    "json": "text",
}  # fmt: skip


def messages(kind: str) -> list[Message]:
    """Return sample deliveries of a kind."""
    rng = random.Random(1)  # repeatable
    reply = "$JS.ACK.events.eventwriter-x.1.1.1.1704067200000000000.5"
    return [
        Message(reply, TRAFFIC[kind].subject, well_formed(kind, rng, n, records=1), None, n + 1, n + 1, 1, NOW_NS + n)
        for n in range(MESSAGES)
    ]


def flow_messages() -> list[Message]:
    """Return the flows of `messages` as FlowMessage, with the fields that an exporter adds."""
    deliveries = []
    for message in messages("netflow"):
        flow = json.loads(message.payload)
        ends = {"time_received_ns": message.timestamp_ns, "time_flow_end_ns": message.timestamp_ns // 1000 * 1000}
        made = FlowMessage(
            type=FlowMessage.NETFLOW_V9, sequence_num=message.stream_seq, sampling_rate=1,
            src_addr=ip_address(flow["src_addr"]).packed, dst_addr=ip_address(flow["dst_addr"]).packed,
            src_port=flow["src_port"], dst_port=flow["dst_port"], proto=flow["protocol"], tcp_flags=18,
            bytes=flow["octets"], packets=flow["packets"], bytes_out=flow["octets"], packets_out=flow["packets"],
            sampler_address=ip_address("10.1.0.1").packed, next_hop=ip_address("10.0.0.1").packed, in_if=1, out_if=2,
            src_as=64512, dst_as=64515, src_net=24, dst_net=24, protocol_name="TCP",
            time_flow_start_ns=ends["time_flow_end_ns"] - 5_000_000_000, **ends,
        )  # fmt: skip
        deliveries.append(message._replace(payload=made.SerializeToString()))
    return deliveries


def real_columns(table: Table) -> list[RealColumn]:
    """Return the columns as `eventwriter migrate` creates them."""
    return [
        RealColumn(column.name, _REAL_TYPES.get(column.type, column.type), column.not_null, False, False)
        for column in table.columns
        if not column.derived
    ]


def best_us(act: Callable[[], object]) -> float:
    """Return the CPU µs per message of the best round."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        act()
        rounds.append(time.process_time_ns() - began)
    return min(rounds) / MESSAGES / 1000


def measure(kind: Kind, table: Table, deliveries: Sequence[Message]) -> tuple[float, float, float]:
    """Return the cost of decode, build and encode."""
    binding = bind(table, real_columns(table), table.name)
    build = table.builder(Build(Origin("events", 1, 0), Adjustments(), binding.present, redact=REDACT))
    encode, decode = encoder(binding), kind.decode
    decoded = [(message, decode(message)) for message in deliveries]
    rows = [row for message, records in decoded for n, r in enumerate(records) if (row := build(r, message, n))]

    def decode_all() -> None:
        for message in deliveries:
            decode(message)

    def build_all() -> None:
        for message, records in decoded:
            for n, record in enumerate(records):
                build(record, message, n)

    def encode_all() -> None:
        out = bytearray()
        for row in rows:
            encode(row, out)

    return best_us(decode_all), best_us(build_all), best_us(encode_all)


def main(selected: Sequence[str]) -> None:
    """Measure and print."""
    print(f"{'messages':<18}{'table':<42}{'decode':>8}{'build':>8}{'encode':>8}   CPU µs per message")
    for kind in KINDS.values():
        if kind.name not in TRAFFIC or (selected and kind.name not in selected):
            continue
        made = {kind.name: messages(kind.name)}
        if kind.name == "netflow":
            made["netflow protobuf"] = flow_messages()
        for name, deliveries in made.items():
            for table in (*kind.tables, *kind.also):
                for shape, mark in ((table, ""), *((other, f" with {mark}") for mark, other in table.variants.items())):
                    figures = "{:8.2f}{:8.2f}{:8.2f}".format(*measure(kind, shape, deliveries))
                    print(f"{name:<18}{shape.name + mark:<42}{figures}")


if __name__ == "__main__":
    main(sys.argv[1:])
