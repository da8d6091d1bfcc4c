"""
Answers to what operators ask of a running worker: its tasks, its positions, its taps.

Nothing here is on the line's way: an answer that has to wait for a server waits in a
task of its own, and the supervisor limits how long anybody waits for it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from eventwriter import clock
from eventwriter.errors import EventwriterError, Fatal, Retryable
from eventwriter.jetstream.api import ApiError, instant_ns
from eventwriter.model import Message
from eventwriter.observe import logging as logs
from eventwriter.pipeline.batch import Settled
from eventwriter.postgres.ledger.store import Ledger
from eventwriter.worker import tap as samples
from eventwriter.worker.session import Bound, SessionBuilder
from eventwriter.worker.tap import Draw, Taps

log = logging.getLogger(__name__)

ANSWER_BYTES_MAX = 60_000
"""A packet on the link has 64 KiB at most."""
SAMPLES_BYTES_MAX = 40_000
"""Of one answer; JSON writes some characters with more bytes than they have."""
TASKS_MAX = 50
FRAMES_MAX = 12


class CommandHandler:
    """
    One worker's clerk. Owned by its event loop.

    Args:
        say: Sends a packet to the supervisor.
        bound: Says what the worker is bound to at the moment.
    """

    def __init__(
        self, wiring: SessionBuilder, say: Callable[[bytes], object], bound: Callable[[], Bound | None]
    ) -> None:
        self._wiring, self._say, self._bound = wiring, say, bound
        self._under_way: set[asyncio.Task[None]] = set()
        self.taps = Taps(self._draw)

    def hear(self, command: Mapping[str, Any]) -> None:
        """Begin to answer; a command that nobody knows is answered with that."""
        task = asyncio.ensure_future(self._answer(command))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def attend(self) -> None:
        """Have the line look here while a tap is open, and no longer."""
        self.taps.lapse(clock.monotonic_s())
        if (bound := self._bound()) is not None:
            bound.line.tap = None if self.taps.is_empty() else self.taps

    async def _answer(self, command: Mapping[str, Any]) -> None:
        try:
            body: dict[str, Any] = {"result": await self._found(command)}
        except (EventwriterError, ValueError, KeyError) as error:
            body = {"error": str(error)}
        packet = orjson.dumps({"type": "answer", "id": command.get("id"), **body}, default=str)
        if len(packet) > ANSWER_BYTES_MAX:
            packet = orjson.dumps({"type": "answer", "id": command.get("id"), "error": "the answer is too long"})
        self._say(packet)

    async def _found(self, command: Mapping[str, Any]) -> Any:
        match command.get("type"):
            case "stacks":
                return {"tasks": tasks()}
            case "look":
                return await look(self._wiring, self._bound())
            case "tap":
                served = self.taps.serve(command, SAMPLES_BYTES_MAX)
                self.attend()
                return served
            case other:
                raise ValueError(f"a worker of this release does not know {other!r}")

    def _draw(self, stage: str, settled: Settled | None) -> Draw:
        redact = self._wiring.redact
        if stage == "row" and (bound := self._bound()) is not None:
            builders = bound.builders()
            return lambda message: samples.row(message, self._wiring.kind.decode, builders)
        if stage == "dead" and settled is not None:
            reasons = {settled.batch.messages[at].stream_seq: why for at, why in settled.batch.dead.items()}
            return lambda message: samples.dead(message, reasons.get(message.stream_seq), redact)

        def raw(message: Message) -> samples.Sample:
            return samples.raw(message, redact)

        return raw


def tasks() -> list[str]:
    """Return the event loop's tasks and where each waits, innermost call last."""
    found = []
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in sorted(others, key=lambda one: one.get_name())[:TASKS_MAX]:
        coroutine = getattr(task.get_coro(), "__qualname__", "?")
        calls = [
            f"  {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
            for frame in task.get_stack(limit=FRAMES_MAX)
        ]
        found.append("\n".join([f"{task.get_name()} {coroutine}", *calls]))
    return found


async def look(wiring: SessionBuilder, bound: Bound | None) -> dict[str, Any]:
    """
    Return how far the worker is, by both servers, in stream sequences.

    Raises:
        Fatal, Retryable: JetStream does not describe stream or consumer, or PostgreSQL the ledger.
    """
    name, durable = wiring.stream.stream_name, wiring.durable
    stream = await _described(wiring, f"STREAM.INFO.{name}")
    consumer = await _described(wiring, f"CONSUMER.INFO.{name}.{durable}")
    if bound is not None and wiring.stream.is_shared:
        # Others write into the same row: our picture of it is behind.
        async with wiring.postgres.transaction() as conn:
            await bound.ledger.refresh(conn)
    return {
        "entry": wiring.stream.name,
        "shared": wiring.stream.is_shared,
        "stream": stream_facts(name, stream),
        "consumer": consumer_facts(durable, consumer),
        "ledger": ledger_facts(bound.ledger) if bound is not None else None,
    }


async def _described(wiring: SessionBuilder, verb: str) -> dict[str, Any]:
    answer = await wiring.api.request(verb)
    if isinstance(answer, ApiError):
        words = f"JetStream does not describe {verb}: {answer.description}"
        raise Fatal(words) if answer.code == 404 else Retryable(words)
    return answer


def stream_facts(name: str, info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what STREAM.INFO says, in our words."""
    state, config = info["state"], info["config"]
    return {
        "name": name,
        "created_ns": instant_ns(info["created"]),
        "first_seq": state["first_seq"],
        "last_seq": state["last_seq"],
        "messages": state["messages"],
        "bytes": state["bytes"],
        "consumers": state.get("consumer_count"),
        "subjects": config.get("subjects") or [],
        "retention": config.get("retention"),
        "discard": config.get("discard"),
        "storage": config.get("storage"),
        "replicas": config.get("num_replicas"),
        "max_age_s": limit(config.get("max_age"), 1e9),
        "max_bytes": limit(config.get("max_bytes")),
        "max_messages": limit(config.get("max_msgs")),
    }


def limit(value: int | None, unit: float = 1) -> float | None:
    """Return a limit of a stream's, None where it has none (JetStream writes 0 or -1)."""
    return None if value is None or value <= 0 else value / unit


def consumer_facts(durable: str, info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what CONSUMER.INFO says, in our words."""
    return {
        "durable": durable,
        "delivered_seq": info["delivered"]["stream_seq"],
        "ack_floor_seq": info["ack_floor"]["stream_seq"],
        "ack_pending": info["num_ack_pending"],
        "pending": info["num_pending"],
        "redelivered": info.get("num_redelivered", 0),
        "waiting_pulls": info.get("num_waiting", 0),
    }


def ledger_facts(ledger: Ledger) -> dict[str, Any]:
    """Return what is known to be in the database; the floor is the last sequence without a hole below it."""
    floor = ledger.floor()
    return {
        "floor_seq": None if floor is None else floor - 1,
        "last_seq": ledger.last_seq,
        "ranges": len(ledger.committed),
        "epoch": ledger.key.origin.epoch,
    }


class Orders:
    """
    One worker's orders. Owned by its event loop.

    Args:
        bound: Says what the worker is bound to at the moment.
        tell: Sends a heartbeat at once.
        change: Called before the consumer is changed by us, so that nobody takes it for somebody else's doing.
    """

    def __init__(
        self,
        wiring: SessionBuilder,
        clerk: CommandHandler,
        bound: Callable[[], Bound | None],
        tell: Callable[[], None],
        change: Callable[[], None],
    ) -> None:
        self._wiring, self._clerk, self._bound, self._tell, self._change = wiring, clerk, bound, tell, change
        self._widening: asyncio.Task[None] | None = None

    def hear(self, command: Mapping[str, Any]) -> None:
        """Obey; what is no order is a question."""
        match command.get("type"):
            case "log_level":
                logs.change(str(command["level"]), command.get("format"))
            case "pause":
                self._pause(paused_by(str(command["slot"]), str(command["by"]), int(command["since_ns"])))
            case "resume":
                self._pause(None)
            case "sharers":
                self._share(int(command["count"]))
            case _:
                self._clerk.hear(command)

    def attend(self) -> None:
        """Have a line that was just bound be as operators want it."""
        self._clerk.attend()
        if self._wiring.condition.paused is not None and (bound := self._bound()) is not None:
            bound.pull.pause(paused=True)

    def _pause(self, reason: str | None) -> None:
        """Pull nothing more, and settle what is open; or, without a reason, pull again."""
        log.info("worker paused" if reason else "worker resumed", extra={"reason": reason} if reason else {})
        self._wiring.condition.paused = reason
        if (bound := self._bound()) is not None:
            bound.pull.pause(paused=reason is not None)
        self._tell()

    def _share(self, workers: int) -> None:
        """Know how many workers have the durable, and have it hold enough for all of them."""
        if not self._wiring.share(workers):
            return
        log.info("workers that share the durable", extra={"workers": workers})
        self._change()
        if (bound := self._bound()) is not None:
            self._widening = asyncio.ensure_future(self._widen(bound))

    async def _widen(self, bound: Bound) -> None:
        try:
            await self._wiring.widen(bound)
        except (Retryable, Fatal) as error:
            log.warning("consumer not changed; it is set right when it is looked at next", extra={"error": str(error)})


def paused_by(slot: str, who: str, since_ns: int) -> str:
    """Say who paused a slot, since when, and what ends it."""
    since = datetime.fromtimestamp(since_ns / 1e9, UTC)
    return f"paused by {who} since {since:%Y-%m-%d %H:%M:%S} UTC; `eventwriter-ctl resume {slot}` goes on"
