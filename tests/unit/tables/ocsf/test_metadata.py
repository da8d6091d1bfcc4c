"""Tests of the metadata of OCSF rows."""

import json
from typing import Any

import pytest

from eventwriter.model import Message
from eventwriter.tables.ocsf.metadata import metadata_filler, metadata_maker


def test_metadata_names_the_product_the_subject_and_the_time() -> None:
    """Logged time is the JetStream timestamp in microseconds, the correlation id is the subject."""
    metadata = metadata_maker("1.4.0", "NetFlowCollector")

    texts = [
        metadata(Message("", 'a."b"', b"", None, 1, 1, 1, 1_704_067_200_000_000_000 + ns))
        for ns in (0, 999, 12_345_678)
    ]

    assert [
        {
            "logged_time": f"2024-01-01T00:00:00.{us}Z",
            "version": "1.4.0",
            "product": {"name": "NetFlowCollector", "vendor_name": "ServiceRadar"},
            "correlation_uid": 'a."b"',
        }
        for us in ("000000", "000000", "012345")
    ] == [json.loads(text[1:]) for text in texts]
    assert {1} == {text[0] for text in texts}


def filled(given: dict[str, Any] | None) -> dict[str, Any]:
    message = Message("", "a.b", b"", None, 1, 1, 1, 1_704_067_200_000_000_000)
    return json.loads(metadata_filler("1.4.0", "EventWriter")(given, message)[1:])


OURS = {
    "logged_time": "2024-01-01T00:00:00.000000Z",
    "version": "1.4.0",
    "product": {"name": "EventWriter", "vendor_name": "ServiceRadar"},
    "correlation_uid": "a.b",
}


@pytest.mark.parametrize(
    "given",
    [
        None,
        {},
        {"version": "1.7.0"},
        {"version": "1.7.0", "product": {"name": "core"}},
        {"version": "1.7.0", "product": {"name": "core"}, "logged_time": "then"},
        {"version": "1.7.0", "product": {"name": "core"}, "logged_time": "then", "correlation_uid": "", "x": 1},
        {"version": None, "logged_time": 5, "labels": ["a"]},
        {"correlation_uid": "c", "version": 0, "product": None},
    ],
)
def test_metadata_of_the_payload_is_completed(given: dict[str, Any] | None) -> None:
    """The attributes of a payload are kept, and missing or null ones are added."""
    given_values = {key: value for key, value in (given or {}).items() if value is not None}

    assert OURS | given_values == filled(given)
