"""
Commands from the supervisor to a running worker.

Commands that change the worker take effect at once and have no answer. A query is answered from a task of its own, so
that one that waits for a server delays neither the pipeline nor other commands.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from eventwriter import clock
from eventwriter.errors import EventwriterError, Fatal, Retryable
from eventwriter.jetstream.api import ApiError, instant_ns
from eventwriter.jetstream.consumer import ensure
from eventwriter.model import Message
from eventwriter.observe import logging as logs
from eventwriter.pipeline.batch import Settled
from eventwriter.postgres.ledger.store import Ledger
from eventwriter.worker import tap as samples
from eventwriter.worker.context import WorkerContext
from eventwriter.worker.session import Session
from eventwriter.worker.tap import SampleFn, Taps

log = logging.getLogger(__name__)

ANSWER_BYTES_MAX = 60_000
"""A packet on the link holds at most 64 KiB."""
SAMPLES_BYTES_MAX = 40_000
"""Limit on the samples of one answer; JSON escapes some characters into several bytes."""
TASKS_MAX = 50
FRAMES_MAX = 12

Command = Mapping[str, Any]


class CommandHandler:
    """
    Executes commands and answers queries. Owned by the worker's event loop.

    Args:
        session: Returns the current session, or None while the worker has none.
        send: Sends a packet to the supervisor.
        drain: Begins to drain the worker.
        stop: Stops the worker.
    """

    def __init__(
        self,
        context: WorkerContext,
        session: Callable[[], Session | None],
        send: Callable[[bytes], object],
        drain: Callable[[], None],
        stop: Callable[[], None],
    ) -> None:
        self._context, self._session, self._send = context, session, send
        self._tasks: set[asyncio.Task[None]] = set()
        self.taps = Taps(self._sampler)
        self._handlers: Mapping[str, Callable[[Command], Coroutine[Any, Any, Any] | None]] = {
            "drain": lambda _: drain(),
            "stop": lambda _: stop(),
            "log_level": self._set_log_level,
            "pause": self._pause,
            "resume": self._resume,
            "sharers": self._set_durable_workers,
            "stacks": self._stacks,
            "positions": self._positions,
            "tap": self._tap,
        }

    def handle(self, command: Command) -> None:
        """Execute a command; if its handler returns a coroutine, send the result as the answer."""
        handler = self._handlers.get(str(command.get("type")), self._unknown)
        if (result := handler(command)) is not None:
            self._start(self._answer(command.get("id"), result))

    def apply_to_session(self) -> None:
        """Apply a pause and open taps to a new session."""
        self.update_taps()
        if self._context.status.paused is not None and (session := self._session()) is not None:
            session.pull.pause(paused=True)

    def update_taps(self) -> None:
        """Close expired taps, and have the pipeline pass messages to taps only while one is open."""
        self.taps.expire(clock.monotonic_s())
        if (session := self._session()) is not None:
            session.pipeline.observer = None if self.taps.is_empty() else self.taps

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _set_log_level(self, command: Command) -> None:
        logs.set_options(str(command["level"]), command.get("format"))

    def _pause(self, command: Command) -> None:
        reason = pause_reason(command)
        log.info("worker paused", extra={"reason": reason})
        self._set_paused(reason)

    def _resume(self, _command: Command) -> None:
        log.info("worker resumed")
        self._set_paused(None)

    def _set_paused(self, reason: str | None) -> None:
        self._context.status.paused = reason
        if (session := self._session()) is not None:
            session.pull.pause(paused=reason is not None)
        self._context.send_heartbeat()

    def _set_durable_workers(self, command: Command) -> None:
        """Set the number of workers on the durable, and update the limits of the consumer accordingly."""
        workers = int(command["count"])
        if not self._context.set_durable_workers(workers):
            return
        log.info("number of workers on the shared durable changed", extra={"workers": workers})
        self._context.consumer_watch.suppress()
        if (session := self._session()) is not None:
            self._start(self._update_consumer(session))

    async def _update_consumer(self, session: Session) -> None:
        try:
            await ensure(self._context.api, self._context.consumer_spec, session.ledger.resume_seq(), create=False)
        except (Retryable, Fatal) as error:
            log.warning("consumer not updated; the next check tries again", extra={"error": str(error)})

    async def _answer(self, command_id: Any, result: Coroutine[Any, Any, Any]) -> None:
        try:
            body: dict[str, Any] = {"result": await result}
        except (EventwriterError, ValueError, KeyError) as error:
            body = {"error": str(error)}
        packet = orjson.dumps({"type": "answer", "id": command_id, **body}, default=str)
        if len(packet) > ANSWER_BYTES_MAX:
            packet = orjson.dumps({"type": "answer", "id": command_id, "error": "the answer is too long"})
        self._send(packet)

    async def _unknown(self, command: Command) -> None:
        raise ValueError(f"this worker's release does not know the command {command.get('type')!r}")

    async def _stacks(self, _command: Command) -> dict[str, Any]:
        return {"tasks": task_stacks()}

    async def _positions(self, _command: Command) -> dict[str, Any]:
        return await positions(self._context, self._session())

    async def _tap(self, command: Command) -> dict[str, Any]:
        answer = self.taps.serve(command, SAMPLES_BYTES_MAX)
        self.update_taps()
        return answer

    def _sampler(self, stage: str, settled: Settled | None) -> SampleFn:
        """Return the function that makes a sample of a message at a stage of the pipeline."""
        redact = self._context.redact
        if stage == "row" and (session := self._session()) is not None:
            builders = session.tap_builders()
            return lambda message: samples.row_sample(message, self._context.kind.decode, builders)
        if stage == "dead" and settled is not None:
            poisons = {settled.batch.messages[at].stream_seq: poison for at, poison in settled.batch.dead.items()}
            return lambda message: samples.dead_sample(message, poisons.get(message.stream_seq), redact)

        def sample(message: Message) -> samples.Sample:
            return samples.raw_sample(message, redact)

        return sample


def pause_reason(command: Command) -> str:
    """Return a sentence with the user who paused the slot, since when, and the command that resumes it."""
    since = datetime.fromtimestamp(int(command["since_ns"]) / 1e9, UTC)
    return (
        f"paused by {command['by']} since {since:%Y-%m-%d %H:%M:%S} UTC; run `eventwriter-ctl resume {command['slot']}`"
        " to continue"
    )


def task_stacks() -> list[str]:
    """Return the event loop's tasks with their stacks, the innermost call last."""
    stacks = []
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in sorted(tasks, key=lambda task: task.get_name())[:TASKS_MAX]:
        coroutine = getattr(task.get_coro(), "__qualname__", "?")
        calls = [
            f"  {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
            for frame in task.get_stack(limit=FRAMES_MAX)
        ]
        stacks.append("\n".join([f"{task.get_name()} {coroutine}", *calls]))
    return stacks


async def positions(context: WorkerContext, session: Session | None) -> dict[str, Any]:
    """
    Return the positions of stream, consumer and ledger, as both servers report them, in stream sequences.

    Raises:
        Fatal, Retryable: JetStream does not describe the stream or the consumer, or PostgreSQL the ledger.
    """
    name, durable = context.stream.stream_name, context.durable
    stream = await _info(context, f"STREAM.INFO.{name}")
    consumer = await _info(context, f"CONSUMER.INFO.{name}.{durable}")
    if session is not None and context.stream.is_shared:
        # Other workers update the same row, so the ledger in memory is behind.
        async with context.postgres.transaction() as conn:
            await session.ledger.refresh(conn)
    return {
        "entry": context.stream.name,
        "shared": context.stream.is_shared,
        "stream": stream_fields(name, stream),
        "consumer": consumer_fields(durable, consumer),
        "ledger": ledger_fields(session.ledger) if session is not None else None,
    }


async def _info(context: WorkerContext, verb: str) -> dict[str, Any]:
    answer = await context.api.request(verb)
    if isinstance(answer, ApiError):
        message = f"JetStream rejected {verb}: {answer.description}"
        raise Fatal(message) if answer.code == 404 else Retryable(message)
    return answer


def stream_fields(name: str, info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a STREAM.INFO answer that `eventwriter-ctl` shows."""
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
    """Return a limit of a stream, or None if it is unlimited, which JetStream writes as 0 or -1."""
    return None if value is None or value <= 0 else value / unit


def consumer_fields(durable: str, info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a CONSUMER.INFO answer that `eventwriter-ctl` shows."""
    return {
        "durable": durable,
        "delivered_seq": info["delivered"]["stream_seq"],
        "ack_floor_seq": info["ack_floor"]["stream_seq"],
        "ack_pending": info["num_ack_pending"],
        "pending": info["num_pending"],
        "redelivered": info.get("num_redelivered", 0),
        "waiting_pulls": info.get("num_waiting", 0),
    }


def ledger_fields(ledger: Ledger) -> dict[str, Any]:
    """Return the ledger's positions; `floor_seq` is the last sequence without a hole below it."""
    floor = ledger.resume_seq()
    return {
        "floor_seq": None if floor is None else floor - 1,
        "last_seq": ledger.last_seq,
        "ranges": len(ledger.committed),
        "epoch": ledger.key.origin.epoch,
    }
