"""Looking into a stream without a consumer."""

import pytest

from eventwriter.jetstream.api import JetStreamApi
from eventwriter.jetstream.client import DirectClient
from eventwriter.jetstream.stream_reader import StreamReader


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        pytest.param([(2, 3), (4, 5), (6, 7)], None, id="small holes with nothing in them"),
        pytest.param([(2, 3), (4, 6), (7, 8)], 5, id="a small hole with a message"),
        pytest.param([(2, 3), (20, 41)], 21, id="a large hole with messages"),
        pytest.param([(90, 91), (97, 98)], 97, id="deleted messages are not there"),
        pytest.param([(101, 500)], None, id="beyond the end"),
        pytest.param([(2 * n, 2 * n + 1) for n in range(1, 45)], None, id="many holes"),
        pytest.param([(2 * n, 2 * n + 1) for n in range(1, 45)] + [(93, 94)], 93, id="many holes, then a message"),
        pytest.param([], None, id="no holes"),
    ],
)
async def test_first_wanted_message_is_found(
    nats_url: str, stream: str, ranges: list[tuple[int, int]], expected: int | None
) -> None:
    """Of messages that alternate between wanted and unwanted ones, the first wanted in the holes is found."""
    client = DirectClient()
    await client.connect(nats_url)
    jetstream = client.jetstream()
    try:
        for n in range(1, 101):
            await jetstream.publish_async(f"{stream}.{'wanted.x' if n % 2 else 'other'}", b"%d" % n)
        await jetstream.publish_async_completed()
        for seq in range(89, 96, 2):
            if seq != 93:
                await jetstream.delete_msg(stream, seq)
        lookup = StreamReader(JetStreamApi(client), stream, (f"{stream}.wanted.>", f"{stream}.never"))

        found = await lookup.first(ranges)

        assert expected == (found and found.stream_seq)
    finally:
        await client.close()
