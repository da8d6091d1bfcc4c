"""Flows: each payload and its rows in every form of the table, column by column."""

import pytest
from golden_rows import DATA
from table_rows import all_rows, expected

from eventwriter.errors import Poison

RAW = "flows.raw.netflow"


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("netflow_json/full_snake.json", "netflow.raw"),
        ("netflow_json/long_names.json", "netflow.raw"),
        # Upstream cut nanoseconds to whole seconds.
        ("flows_raw_protobuf/netflow_v9_tcp.bin", RAW),
        ("flows_raw_protobuf/sflow5_udp.bin", "flows.raw.sflow"),
        ("flows_raw_protobuf/legacy_json.json", RAW),
        # Upstream neither acknowledged nor refused such a message where its time was missing; here the time is
        # JetStream's then.
        ("flows_raw_protobuf/processed_ocsf_json.json", "flows.raw.netflow.processed"),
        # Our own: every field of a FlowMessage, and one that it does not have.
        ("flows_raw_protobuf/ipfix_everything.bin", RAW),
    ],
)
def test_payload_becomes_its_rows(name: str, subject: str) -> None:
    """A flow becomes the rows given here; columns not named there are NULL."""
    payload = DATA / name

    assert expected(payload) == all_rows("netflow", payload.read_bytes(), subject)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        # Upstream wrote a row of nothing.
        ("netflow_json/empty_object.json", "missing_field"),
        # Upstream acknowledged it in silence.
        ("flows_raw_protobuf/all_zero.bin", "malformed"),
    ],
)
def test_payload_is_poison(name: str, reason: str) -> None:
    """A payload that is not a flow, or has no address, becomes a dead letter with its reason."""
    with pytest.raises(Poison) as caught:
        all_rows("netflow", (DATA / name).read_bytes(), RAW)

    assert reason == caught.value.reason
