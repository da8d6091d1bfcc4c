"""Tests of the recognition of event shapes."""

from typing import Any

import pytest

from eventwriter.errors import Poison
from eventwriter.formats.event_shape import Shape, shape_of

GELF = {"version": "1.1", "host": "h", "short_message": "m"}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param({"class_uid": 0}, Shape.OCSF, id="zero is a class"),
        pytest.param({"classUid": 1008}, Shape.OCSF, id="camelCase class"),
        pytest.param({"class_uid": 1008, "specversion": "1.0"}, Shape.OCSF, id="class before envelope"),
        pytest.param({"class_uid": None, "specversion": "1.0"}, Shape.CLOUDEVENT, id="null is absence"),
        pytest.param({"specversion": "1.0", **GELF}, Shape.CLOUDEVENT, id="envelope before GELF"),
        pytest.param(GELF, Shape.GELF, id="GELF"),
        pytest.param({"version": "1.1", "host": "h", "shortMessage": ""}, Shape.GELF, id="camelCase GELF"),
        pytest.param({**GELF, "varbinds": []}, Shape.GELF, id="GELF before trap"),
        pytest.param({"version": "V2C", "varbinds": []}, Shape.SNMP_TRAP, id="trap"),
    ],
)
def test_record_has_first_matching_shape(record: dict[str, Any], expected: Shape) -> None:
    """A record has the first shape whose fields are present."""
    assert expected is shape_of(record)


@pytest.mark.parametrize("record", [{}, {"message": "x"}, {"varbinds": None}, *({**GELF, k: None} for k in GELF)])
def test_record_without_shape_is_poison(record: dict[str, Any]) -> None:
    """A record with none of the fields, or only some of GELF's, is an unknown shape."""
    with pytest.raises(Poison) as caught:
        shape_of(record)

    assert "unknown_shape" == caught.value.reason
