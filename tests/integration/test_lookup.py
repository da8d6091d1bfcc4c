"""Reading messages from a stream without a consumer."""

import pytest

from eventwriter.jetstream.api import JetStreamApi
from eventwriter.jetstream.client import DirectClient
from eventwriter.jetstream.stream_reader import StreamReader


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        pytest.param([(2, 3), (4, 5), (6, 7)], None, id="empty small ranges"),
        pytest.param([(2, 3), (4, 6), (7, 8)], 5, id="small range with a message"),
        pytest.param([(2, 3), (20, 41)], 21, id="large range with messages"),
        pytest.param([(90, 91), (97, 98)], 97, id="deleted messages"),
        pytest.param([(101, 500)], None, id="beyond the end"),
        pytest.param([(2 * n, 2 * n + 1) for n in range(1, 45)], None, id="many ranges"),
        pytest.param(
            [(2 * n, 2 * n + 1) for n in range(1, 45)] + [(93, 94)], 93, id="many empty ranges, then a message"
        ),
        pytest.param([], None, id="no range"),
    ],
)
async def test_first_matching_message_in_ranges(
    nats_url: str, stream: str, ranges: list[tuple[int, int]], expected: int | None
) -> None:
    """The first message in the ranges that matches the filter is returned."""
    client = DirectClient()
    await client.connect(nats_url)
    jetstream = client.jetstream()
    try:
        for n in range(1, 101):
            await jetstream.publish_async(f"{stream}.{'match.x' if n % 2 else 'other'}", b"%d" % n)
        await jetstream.publish_async_completed()
        for seq in range(89, 96, 2):
            if seq != 93:
                await jetstream.delete_msg(stream, seq)
        reader = StreamReader(JetStreamApi(client), stream, (f"{stream}.match.>", f"{stream}.never"))

        message = await reader.first(ranges)

        assert expected == (message and message.stream_seq)
    finally:
        await client.close()
