"""
Decides whether a stream went backwards, so that its sequences belong to new messages.

One answer is no proof: a node that was cut off, or a leader that was stopped and resumes, answers with an old end of
the stream. A regression counts only if several answers of one leader, over some seconds, show it, and if the consumer's
position or the timestamp of a stored message confirms it. Without a confirmation the worker continues in the present
epoch, and the copy stage compares the timestamp of each message with the ledger's. Nothing beyond the ledger's last
sequence is written before another check, because later timestamps in the ledger would make that comparison useless.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from eventwriter import clock
from eventwriter.errors import Retryable
from eventwriter.jetstream.api import JetStreamApi, StreamState, has_quorum, instant_ns, stored_us, stream_state
from eventwriter.jetstream.consumer import consumer_info
from eventwriter.postgres.ledger.store import Ledger

log = logging.getLogger(__name__)

ANSWERS_MIN = 4
"""Answers that must show a regression."""
PERSISTENCE_S_MIN = 3.0
"""Seconds over which they must show it: longer than a stale leader needs to notice that it was replaced."""
UNCLEAR_S_MAX = 15.0
"""Seconds after which a check ends without a decision, for example because the stream has no leader."""
_INTERVAL_S = 1.0
"""Interval between requests."""


class Verdict(Enum):
    """Result of a check."""

    CONSISTENT = "consistent"
    """The stream contains the ledger's last message, or a later one."""
    UNDECIDED = "undecided"
    """Further answers are needed."""
    UNCONFIRMED = "unconfirmed"
    """The stream seems to have gone backwards, but nothing confirms it."""
    REGRESSED = "regressed"
    """The stream went backwards."""


@dataclass(frozen=True, slots=True)
class Position:
    """
    The ledger's last message, read before the stream.

    Attributes:
        last_us: Latest committed JetStream timestamp: microseconds since 1970 UTC.
    """

    last_seq: int
    last_us: int


@dataclass(frozen=True, slots=True)
class Observation:
    """
    One answer of JetStream about a stream.

    Attributes:
        at_s: Monotonic seconds.
        leader: The answering leader; empty for a server without a cluster.
        is_current: Whether that leader has contact to a majority of replicas.
        last_seq: Last sequence of the stream.
        stored_us: Timestamp of the message that the stream has at the ledger's last sequence, in microseconds since
            1970 UTC; None if it has none, or if it cannot be fetched.
        delivered_seq: Last stream sequence that the consumer has delivered; None if that is no evidence: there is no
            consumer, it was created after the ledger's last message and may have started anywhere, or its leader has
            no contact to a majority.
    """

    at_s: float
    leader: str
    is_current: bool
    last_seq: int
    stored_us: int | None
    delivered_seq: int | None

    def has_other_message(self, position: Position) -> bool:
        """Return whether the stream has a later message at the ledger's last sequence."""
        return self.stored_us is not None and self.stored_us > position.last_us

    def is_consistent(self, position: Position) -> bool:
        """Return whether the answer shows no regression."""
        if self.last_seq < position.last_seq:
            # An old end of the stream beside the ledger's own last message is a stale answer.
            return self.stored_us == position.last_us
        return not self.has_other_message(position)

    def confirms(self, position: Position) -> bool:
        """Return whether a stored message or the consumer's position confirms a regression."""
        if self.has_other_message(position):
            return True
        return self.delivered_seq is not None and self.delivered_seq < position.last_seq


def judge(position: Position, observations: Sequence[Observation]) -> Verdict:
    """
    Decide whether a stream went backwards; pure.

    Args:
        observations: The answers so far, oldest first; at least one.
    """
    if not position.last_seq or any(observation.is_consistent(position) for observation in observations):
        return Verdict.CONSISTENT
    recent = _same_leader(observations)
    if len(recent) >= ANSWERS_MIN and recent[-1].at_s - recent[0].at_s >= PERSISTENCE_S_MIN:
        confirmed = all(observation.confirms(position) for observation in recent)
        return Verdict.REGRESSED if confirmed else Verdict.UNCONFIRMED
    if observations[-1].at_s - observations[0].at_s >= UNCLEAR_S_MAX:
        return Verdict.UNCONFIRMED
    return Verdict.UNDECIDED


def _same_leader(observations: Sequence[Observation]) -> list[Observation]:
    """Return the newest answers that one leader gave in a row, without answers that are not current."""
    recent: list[Observation] = []
    for observation in reversed(observations):
        if not observation.is_current:
            continue
        if recent and observation.leader != recent[0].leader:
            break
        recent.append(observation)
    return recent[::-1]


class RegressionCheck:
    """
    Checks one stream against the ledger.

    Args:
        incarnation_ns: Creation time of the stream that the worker is bound to.
    """

    def __init__(self, api: JetStreamApi, stream: str, durable: str, incarnation_ns: int) -> None:
        self._api, self._stream, self._durable = api, stream, durable
        self._incarnation_ns = incarnation_ns

    async def verdict(self, ledger: Ledger) -> tuple[Verdict, StreamState]:
        """
        Return whether the stream went backwards, and its newest state.

        This takes some seconds if the stream seems to have gone backwards. Sets `ledger.is_suspect`.

        Args:
            ledger: Read before this call, because messages that are committed later may also be stored later.

        Raises:
            Retryable: The stream was recreated, or JetStream does not answer.
            Fatal: The stream does not exist.
        """
        position = Position(ledger.last_seq, ledger.last_us)
        observation, stream = await self._observe(position)
        observations = [observation]
        while (verdict := judge(position, observations)) is Verdict.UNDECIDED:
            await asyncio.sleep(_INTERVAL_S)
            observation, stream = await self._observe(position)
            observations.append(observation)
        ledger.is_suspect = verdict is Verdict.UNCONFIRMED
        if verdict is not Verdict.CONSISTENT:
            log.warning(
                "stream seems to have gone backwards",
                extra={
                    "stream": self._stream,
                    "verdict": verdict.value,
                    "last_seq": stream.last_seq,
                    "ledger_last_seq": position.last_seq,
                    "delivered_seq": observation.delivered_seq,
                    "leader": stream.leader,
                    "answers": len(observations),
                },
            )
        return verdict, stream

    async def _observe(self, position: Position) -> tuple[Observation, StreamState]:
        stream = await stream_state(self._api, self._stream)
        if stream.incarnation_ns != self._incarnation_ns:
            raise Retryable(f"stream {self._stream} was deleted and recreated", code="stream_recreated")
        stored = await stored_us(self._api, self._stream, position.last_seq) if position.last_seq else None
        observation = Observation(clock.monotonic_s(), stream.leader, stream.is_current, stream.last_seq, stored, None)
        if position.last_seq and not observation.is_consistent(position):
            observation = Observation(
                observation.at_s,
                stream.leader,
                stream.is_current,
                stream.last_seq,
                stored,
                await self._delivered_seq(position),
            )
        return observation, stream

    async def _delivered_seq(self, position: Position) -> int | None:
        info = await consumer_info(self._api, self._stream, self._durable)
        if info is None or not has_quorum(info.get("cluster")):
            return None
        if instant_ns(info["created"]) // 1000 > position.last_us:
            return None
        return int(info["delivered"]["stream_seq"])
