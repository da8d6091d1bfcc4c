"""Ids that payloads give."""

from uuid import NAMESPACE_URL, UUID, uuid5

import pytest

from eventwriter.tables.ids import ID_NAMESPACE, parse_uuid, uuid_from_name

CANONICAL = "c0b2f5af-7d5d-4c1a-8c5b-7c6a9f4c94b2"


@pytest.mark.parametrize(
    "text",
    [CANONICAL, CANONICAL.upper(), CANONICAL.replace("-", ""), f"{{{CANONICAL}}}", f"urn:uuid:{CANONICAL}"],
)
def test_uuid_in_each_of_its_forms_is_itself(text: str) -> None:
    """A UUID is taken as it is, in whichever form it is written."""
    assert UUID(CANONICAL).bytes == parse_uuid(text)


@pytest.mark.parametrize(
    "text",
    ["", "event-123", "0" * 31, "0" * 33, "g" + CANONICAL[1:], CANONICAL + " ", CANONICAL[:-1] + " ", "{" + CANONICAL,
     CANONICAL[:9] + "  " + CANONICAL[11:], CANONICAL.replace("-", "_"), "-" * 36, "é" * 36, "0x" + "0" * 30],
)  # fmt: skip
def test_what_is_no_uuid_is_none(text: str) -> None:
    """Text that only resembles a UUID is not one."""
    assert parse_uuid(text) is None


def test_other_ids_are_named() -> None:
    """An id that is no UUID has a UUIDv5 in a namespace that never changes, which SQL can compute too."""
    assert uuid5(NAMESPACE_URL, "tag:eventwriter,2026:given-id") == ID_NAMESPACE
    assert UUID("5744bad0-2593-56d8-9d7d-86f24777e9e9").bytes == uuid_from_name("event-123")
