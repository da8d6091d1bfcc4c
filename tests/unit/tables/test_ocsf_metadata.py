"""The metadata of OCSF rows."""

import json

from eventwriter.model import Message
from eventwriter.tables.ocsf_metadata import metadata_maker


def test_metadata_names_the_product_the_subject_and_the_time() -> None:
    """Logged time is the message's JetStream timestamp in microseconds, correlation id its subject."""
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
