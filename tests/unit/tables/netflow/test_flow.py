"""What a flow says: its time, its ends, its numbers."""

from typing import Any

import pytest
from golden_rows import STORED_NS, delivery

from eventwriter.formats.fields import instant_us
from eventwriter.model import Adjustments
from eventwriter.tables.netflow.flow import ends, flow, when
from eventwriter.tables.values import POSTGRES_EPOCH_US, redacted_text

T = 1_705_363_200_000_000_000
MESSAGE = delivery(b"", "netflow.x")
readable = redacted_text(frozenset({"community"}))


@pytest.mark.parametrize(
    ("record", "ns", "defaulted"),
    [
        ({"timestamp": T, "time_flow_end_ns": T + 5_000}, T, 0),
        ({"time_flow_end_ns": T + 5_000, "time_received_ns": T + 9_000, "time_flow_start_ns": T}, T + 5_000, 0),
        ({"time_received_ns": T + 9_000, "time_flow_start_ns": T}, T + 9_000, 0),
        ({"time_flow_start_ns": T}, T, 0),
        ({"time_flow_end_ns": 10**19, "time_received_ns": T}, T, 0),
        ({"endTime": "2024-01-16T00:00:00.5Z"}, T + 500_000_000, 0),
        ({"timestamp": "junk", "time_flow_end_ns": T}, STORED_NS, 1),
        ({}, STORED_NS, 1),
    ],
)
def test_time_of_a_flow(record: dict[str, Any], ns: int, defaulted: int) -> None:
    """The timestamp, else the end, the receipt, the start, else when JetStream stored it; to the microsecond."""
    adjustments = Adjustments()

    assert (ns // 1000 - POSTGRES_EPOCH_US, defaulted) == (
        when(record, MESSAGE, adjustments),
        adjustments.timestamp_defaulted,
    )


@pytest.mark.parametrize(
    ("start", "end", "time", "result"),
    [
        (T, T + 2_000_000, T + 2_000_000, (2, True)),
        (T, T + 2_000_000, T, (2, False)),
        (T + 1, T + 2_000_000, T + 2_000_000, (2, False)),
        (T, T + 2_500_000, T + 2_500_000, (2, False)),
        (T + 2_000_000, T, T, (None, False)),
        (None, T, T, (None, False)),
        (1_705_363_200_000, 1_705_363_200_750, T + 750_000_000, (750, True)),
        ("2024-01-16T00:00:00Z", "2024-01-16T00:00:01Z", T + 1_000_000_000, (1000, False)),
    ],
)
def test_ends_of_a_flow(start: Any, end: Any, time: int, result: tuple[int | None, bool]) -> None:
    """The duration needs both ends in order; the ends may go only where time and duration say them exactly."""
    assert result == ends({"start_time": start, "end_time": end}, time // 1000 - POSTGRES_EPOCH_US)


@pytest.mark.parametrize(
    ("given", "number"),
    [(6, 6), ("17", 17), ("TCP", 6), (" icmpv6 ", 58), ("nonsense", None), (None, None), ([], None)],
)
def test_protocol_by_number_or_name(given: Any, number: int | None) -> None:
    """A protocol's name is its number too."""
    assert number == flow({"src_addr": "1.2.3.4", "protocol": given}, Adjustments(), readable).protocol


def test_number_too_large_is_cut_counted_and_kept() -> None:
    """What does not fit its column is cut and counted, and the number as it was stays in the rest."""
    adjustments = Adjustments()

    one = flow({"src_addr": "1.2.3.4", "input_snmp": 4_294_967_295, "bytes": "1e30", "a": 1}, adjustments, readable)

    assert (2_147_483_647, 2**63 - 1, 2) == (one.input_snmp, one.octets, adjustments.clamped)
    assert {"input_snmp": 4_294_967_295, "octets": "1e30", "a": 1} == one.rest


def test_secret_in_an_odd_field_is_left_out() -> None:
    """Where an object stands for a name, its secrets are not written."""
    assert '{"a":1}' == flow({"src_addr": {"a": 1, "community": "s3cret"}}, Adjustments(), readable).src_addr


def test_instants_of_this_file_are_what_they_seem() -> None:
    """The figure that the cases above are made of is the midnight that it is called."""
    assert T // 1000 == instant_us("2024-01-16T00:00:00Z")
