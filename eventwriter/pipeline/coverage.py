"""
Computes which stream sequences a delivery accounts for; pure.

A consumer numbers its deliveries without gaps. If one first delivery directly follows another
in consumer sequence, the stream sequences between the two messages do not match the filter of
the consumer, and the second delivery accounts for them too. So the ledger stays a single range
even on a stream that other subjects share. A redelivery accounts for itself only.
"""

from dataclasses import dataclass

from eventwriter.model import Message


@dataclass(slots=True)
class CoverageTracker:
    """
    Follows the deliveries of one consumer in the order of arrival.

    Attributes:
        consumer_seq: Consumer sequence of the last delivery; None if unknown.
        stream_seq: Stream sequence of the last first delivery; None if unknown.
        gap_from: First stream sequence that was accounted for without being delivered; reset by its reader.
        may_repeat: Whether deliveries went back, as after a reset of the consumer; reset by its reader.
    """

    consumer_seq: int | None = None
    stream_seq: int | None = None
    gap_from: int | None = None
    may_repeat: bool = False

    def first_covered(self, message: Message) -> int:
        """
        Return the first stream sequence that a message accounts for; the last one is its own.

        A gap in the consumer sequence ends the run: the missing deliveries are unknown, and
        JetStream will redeliver them.
        """
        seq = message.stream_seq
        follows = self.consumer_seq is not None and message.consumer_seq == self.consumer_seq + 1
        self.consumer_seq = message.consumer_seq
        if message.num_delivered > 1:
            if not follows:
                self.stream_seq, self.may_repeat = None, True
            return seq
        before, self.stream_seq = self.stream_seq, seq
        if follows and before is not None and before < seq:
            if before + 1 < seq and self.gap_from is None:
                self.gap_from = before + 1
            return before + 1
        if before is not None and seq <= before:
            self.may_repeat = True
        return seq
