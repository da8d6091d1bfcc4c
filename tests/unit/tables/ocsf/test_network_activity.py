"""Flows in `ocsf_network_activity`."""

import pytest

from eventwriter.tables.ocsf.network_activity import readable_bytes


@pytest.mark.parametrize(
    ("count", "shown"),
    [(999, "999 B"), (150_000, "150.0 KB"), (2_500_000_000, "2.5 GB"), (10**400, f"1{'0' * 388} TB")],
)
def test_bytes_of_any_size_are_readable(count: int, shown: str) -> None:
    """A number of bytes of any size has a readable form, also one that a float cannot hold."""
    assert shown == readable_bytes(count)
