"""
Which stream sequences a delivery accounts for; pure.

A consumer gives every delivery the next consumer sequence. So when a first
delivery directly follows another in consumer sequence, whatever lies between their
*stream* sequences is what the consumer's filter does not want, and the delivery
accounts for that too. The ledger then stays one range even on a stream that many
subjects share. A redelivery accounts for itself only.
"""

from dataclasses import dataclass

from eventwriter.model import Message


@dataclass(slots=True)
class Tracker:
    """
    Follows one consumer's deliveries in the order in which they arrive.

    Args:
        consumer_seq: The last delivery that the consumer had made when we began; None where that is not known.
        stream_seq: The stream sequence up to which it had looked by then.
    """

    consumer_seq: int | None = None
    stream_seq: int | None = None
    gap_from: int | None = None
    """The first sequence that was accounted for without being delivered, since somebody last set this to None."""
    may_repeat: bool = False
    """Whether deliveries went back, as those of a consumer that was reset do, since somebody last set this to False."""

    def first_covered(self, message: Message) -> int:
        """
        Return the first stream sequence that `message` accounts for; its own is the last.

        Deliveries that never came (a gap in the consumer sequence) end the run: what
        lies in the gap is not known to us, and will be delivered again.
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
