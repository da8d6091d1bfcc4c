"""Messages that a worker has received and not settled yet."""

from collections import deque

from eventwriter.model import Message
from eventwriter.pipeline.batch import Batch
from eventwriter.pipeline.batcher import Batcher


class HeldMessages:
    """
    Messages that one worker has received and not settled, in the order of arrival. Written by the pipeline only.

    Attributes:
        batcher: Has the open batch.
        in_flight: Sealed batches that are not settled, oldest first.
        decoding: The messages that are being decoded and added to the open batch.
    """

    __slots__ = ("batcher", "decoding", "in_flight")

    def __init__(self, batcher: Batcher) -> None:
        self.batcher = batcher
        self.in_flight: deque[Batch] = deque()
        self.decoding: list[Message] = []

    def copy_is_idle(self) -> bool:
        """Return whether the copy stage is waiting for a batch."""
        return not self.in_flight

    def messages(self) -> list[Message]:
        """Return every held message, oldest first."""
        return [m for batch in (*self.in_flight, self.batcher.open) for m in batch.messages] + self.decoding

    def count(self) -> int:
        """Return the number of messages in batches."""
        return sum(map(len, self.in_flight)) + len(self.batcher.open)

    def size_bytes(self) -> int:
        """Return the bytes of payloads and rows in batches."""
        return sum(batch.size_bytes for batch in self.in_flight) + self.batcher.open.size_bytes

    def oldest_ns(self) -> int | None:
        """Return the JetStream timestamp of the oldest batch's first message, or None if no batch has a message."""
        for batch in (*self.in_flight, self.batcher.open):
            if batch.messages:
                return batch.messages[0].timestamp_ns
        return None
