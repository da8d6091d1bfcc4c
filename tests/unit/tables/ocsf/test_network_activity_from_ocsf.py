"""Tests of flows that are OCSF objects already."""

import json
from typing import Any
from uuid import UUID

import pytest
from table_rows import filled, rows_in

from eventwriter.errors import Poison
from eventwriter.tables.ocsf.network_activity import OCSF_NETWORK_ACTIVITY

ENDPOINT = {"ip": "10.0.0.1", "port": 5, "autonomous_system": {"number": 64512}, "hostname": "a"}


def row_of(**record: Any) -> dict[str, Any]:
    payload = json.dumps({"src_endpoint": ENDPOINT, **record}).encode()
    (row,) = rows_in(OCSF_NETWORK_ACTIVITY, "netflow", payload, "flows.x")
    return filled(OCSF_NETWORK_ACTIVITY, row)


def test_given_objects_are_kept_whole() -> None:
    """Endpoints, traffic and connection are stored unchanged in their columns; other keys are unmapped."""
    connection = {"protocol_num": 17, "direction": "Inbound", "direction_id": 1, "tcp_flags": 0, "x": [1]}
    row = row_of(connection_info=connection, traffic={"bytes_in": 0}, disposition="Allowed", unmapped={"vlan": 3})

    assert (ENDPOINT, {}, connection, {"bytes_in": 0}) == tuple(
        row[k] for k in ("src_endpoint", "dst_endpoint", "connection_info", "traffic")
    )
    assert ("UDP", 17, "Inbound", 1) == tuple(
        row[k] for k in ("protocol_name", "protocol_num", "direction", "direction_id")
    )
    assert {"disposition": "Allowed", "vlan": 3} == row["unmapped"]


def test_absent_numbers_are_those_of_traffic() -> None:
    """Class, activity and severity default to those of a flow; the type is computed."""
    row = row_of()

    assert (4001, 4, 6, 400106, "Traffic", 1, "Informational") == tuple(
        row[k]
        for k in ("class_uid", "category_uid", "activity_id", "type_uid", "activity_name", "severity_id", "severity")
    )


def test_given_numbers_are_kept() -> None:
    """Activity 0 is valid, and another class has its own category and type."""
    row = row_of(class_uid=4003, activity_id=0, severity_id=4)

    assert (4003, 4, 0, 400300, "High") == tuple(
        row[k] for k in ("class_uid", "category_uid", "activity_id", "type_uid", "severity")
    )


@pytest.mark.parametrize("given", [None, "junk"])
def test_computed_type_is_clamped(given: str | None) -> None:
    """The type that is computed from a large class is limited to the range of the column."""
    assert 2**31 - 1 == row_of(class_uid=2**31 - 1, type_uid=given)["type_uid"]


def test_given_id_is_used() -> None:
    """A UUID is the id of the row; another id becomes a UUID, and is kept in the metadata."""
    given = "0f0e0d0c-0b0a-4908-8706-050403020100"

    named = row_of(id="flow-1")

    assert given == row_of(id=given)["id"]
    assert ("flow-1", 5) == (named["metadata"]["uid"], UUID(named["id"]).version)


def test_id_beside_a_uid_is_unmapped() -> None:
    """If the metadata has another uid, that stays, and the id is unmapped."""
    row = row_of(id="flow-1", metadata={"uid": "u"})

    assert ("u", {"id": "flow-1"}) == (row["metadata"]["uid"], row["unmapped"])


def test_camel_case_is_read() -> None:
    """Names may be in camelCase; the snake_case name is preferred."""
    record = {
        "dstEndpoint": {"ip": "10.0.0.2"},
        "connectionInfo": {"protocolNum": 6},
        "severityId": 3,
        "severity_id": 4,
    }

    row = row_of(**record)

    assert ({"ip": "10.0.0.2"}, "TCP", 4, {}) == tuple(
        row[k] for k in ("dst_endpoint", "protocol_name", "severity_id", "unmapped")
    )


def test_metadata_is_completed() -> None:
    """The attributes of the metadata are kept, and missing ones are added."""
    metadata = row_of(metadata={"version": "1.7.0", "product": {"name": "zen"}})["metadata"]

    assert ("1.7.0", {"name": "zen"}, "flows.x") == tuple(
        metadata[k] for k in ("version", "product", "correlation_uid")
    )


@pytest.mark.parametrize("record", [{"class_uid": 4001}, {"class_uid": 4001, "src_endpoint": {"port": 5}}])
def test_no_address_is_poison(record: dict[str, Any]) -> None:
    """An object without any address makes a dead letter."""
    with pytest.raises(Poison, match="missing_field"):
        rows_in(OCSF_NETWORK_ACTIVITY, "netflow", json.dumps(record).encode(), "flows.x")


def test_value_that_no_column_takes_is_unmapped() -> None:
    """A value that its column cannot hold is unmapped."""
    row = row_of(status_id="odd", device="d", metadata="m", duration="long", time="soon", observables={"name": "x"})

    assert {"status_id": "odd", "device": "d", "metadata": "m", "duration": "long", "time": "soon"} == row["unmapped"]
    assert [{"name": "x"}] == row["observables"]


def test_id_comes_from_the_metadata() -> None:
    """An object without an id has the id of its metadata."""
    given = "0f0e0d0c-0b0a-4908-8706-050403020100"

    assert given == row_of(metadata={"uid": given})["id"]


def test_endpoint_may_have_a_mac_only() -> None:
    """A layer-2 flow has MAC addresses instead of IP addresses."""
    assert {"mac": "00:00:5e:00:53:01"} == row_of(src_endpoint={"mac": "00:00:5e:00:53:01"})["src_endpoint"]
