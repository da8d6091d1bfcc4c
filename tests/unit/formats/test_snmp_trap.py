"""Tests of the conversion of SNMP traps to OCSF events."""

from typing import Any

import pytest

from eventwriter.formats.snmp_trap import message_of, ocsf_record


@pytest.mark.parametrize(
    ("varbinds", "expected"),
    [
        ([{"oid": "1.3", "value": "OCTET STRING: link: down on port 3"}], "link: down on port 3"),
        ([{"value": ""}, {"value": "  "}, {"value": 5}, "junk", {}, {"value": "TIMETICKS: 9"}], "9"),
        ([{"value": "OCTET STRING:"}], "OCTET STRING:"),
        ([{"value": "no type"}], "no type"),
        ('[{"value": "INTEGER: 7"}]', "7"),
        ([], None),
        ({"value": "X: 1"}, None),
        (None, None),
    ],
)
def test_message_is_the_first_varbind_with_text(varbinds: object, expected: str | None) -> None:
    """The message is the first varbind value that is not blank, without the name of its type."""
    assert expected == message_of(varbinds)


@pytest.mark.parametrize(
    ("source", "endpoint"),
    [
        ("192.168.10.154:161", {"ip": "192.168.10.154", "port": 161}),
        ("10.0.0.1", {"ip": "10.0.0.1"}),
        ("[2001:db8::1]:162", {"ip": "2001:db8::1", "port": 162}),
        ("[::1]", {"ip": "::1"}),
        ("2001:db8::1", {"ip": "2001:db8::1"}),
        ("snmp", None),
        ("10.0.0.1:", None),
        (":162", None),
        (7, None),
        (None, None),
    ],
)
def test_source_is_an_endpoint(source: object, endpoint: dict[str, Any] | None) -> None:
    """The address of the sender becomes the source endpoint, the device and an observable."""
    event = ocsf_record({"source": source, "varbinds": []}, "s")

    assert endpoint == event["src_endpoint"]
    assert (endpoint and {"ip": endpoint["ip"]}) == event["device"]
    assert bool(endpoint) == bool(event["observables"])


@pytest.mark.parametrize(
    ("severity", "number", "name"),
    [(None, 1, "Informational"), ("Unknown", 0, "Unknown"), ("High", 4, "High"), ("very high", 5, "very high"),
     ("odd", 0, "odd")],
)  # fmt: skip
def test_severity_name_is_kept_with_its_id(severity: str | None, number: int, name: str) -> None:
    """The severity name of the rule engine is kept with its id; an unknown name has id 0."""
    event = ocsf_record({"severity": severity, "varbinds": []}, "s")

    assert (number, name) == (event["severity_id"], event["severity"])


def test_unmapped_fields_are_kept() -> None:
    """Fields without an OCSF counterpart are kept in `unmapped`."""
    trap = {"source": "snmp", "version": "V1", "varbinds": [{"oid": "1"}], "body": "b", "extra": 0, "gone": None}
    event = ocsf_record(trap, "logs.snmp")

    assert {k: v for k, v in trap.items() if k != "gone"} == event["unmapped"]
    assert (1008, 1, 1, 100801, "b", "logs.snmp", "snmp") == tuple(
        event[k] for k in ("class_uid", "category_uid", "activity_id", "type_uid", "message", "log_name", "log_provider")  # noqa: E501
    )  # fmt: skip
