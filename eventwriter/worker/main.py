"""
A worker's life: connect, bind, run the line, bind again when the world has changed.

It ends when it is told to (drain, stop) or killed. A server that is away makes it
wait; what only an operator can mend parks it, with the sentence, and it looks
again at times. Neither ends the process.
"""

import asyncio
import errno
import gc
import logging
import os
import socket
from collections.abc import Coroutine
from functools import partial
from typing import Any

import uvloop

from eventwriter import clock
from eventwriter.config.settings import Settings
from eventwriter.control.worker_link import commands, send
from eventwriter.errors import Fatal, Retryable
from eventwriter.jetstream.connect import NatsLink
from eventwriter.jetstream.consumer import ConsumerState
from eventwriter.jetstream.pull import ConsumerLost
from eventwriter.model import SlotName
from eventwriter.observe import logging as logs
from eventwriter.pipeline.copy_stage import StreamRegressed
from eventwriter.postgres.errors import Rejected, Verdict
from eventwriter.postgres.session import PostgresSession
from eventwriter.worker import heartbeat
from eventwriter.worker.commands import CommandHandler, Orders
from eventwriter.worker.consumer_watch import next_pause_s
from eventwriter.worker.fault_points import fault_points
from eventwriter.worker.retention import retain
from eventwriter.worker.session import Bound, SessionBuilder
from eventwriter.worker.table_binding import Rebind

log = logging.getLogger(__name__)

_WAIT_S = 1.0
"""Between attempts to reach a server that is away."""
_FOLD_S = 5.0
"""How often the ledger is looked through for holes."""

EXIT_OK, EXIT_CRASHED = 0, 70
NOTHING_LEFT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""What is the system's fault, where a stack tells nobody anything."""


class Worker:
    """One slot's worker. Everything in it belongs to one event loop."""

    def __init__(self, settings: Settings, slot: SlotName, link: socket.socket) -> None:
        self.settings = settings
        self.slot = slot
        self.parent = link
        self.fault = fault_points(os.environ)
        self.nats = NatsLink(settings.nats, f"eventwriter {slot}")
        self.postgres = PostgresSession(settings.postgres, self.fault)
        self.wiring = SessionBuilder(settings, slot, self.nats, self.postgres)
        self.wiring.tell = self._tell
        self.bound: Bound | None = None
        self.consumer: ConsumerState | None = None
        self.draining = False
        self.clerk = CommandHandler(self.wiring, partial(send, link), lambda: self.bound)
        self.orders = Orders(self.wiring, self.clerk, lambda: self.bound, self._tell, self.wiring.drift.look_away)
        self._woken = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """Live until drained or stopped; return the exit code."""
        loop = asyncio.get_running_loop()
        self.parent.setblocking(False)
        loop.add_reader(self.parent.fileno(), self._hear)
        self._life = asyncio.ensure_future(self._live())
        retention = retain(
            self.postgres, self.wiring.stream.schema_name, self.settings.dead_letters, self.wiring.counters
        )
        chores = [self._watch(), retention, *([self.wiring.storage.run()] if self.slot.partition == 0 else [])]
        side = [asyncio.ensure_future(task) for task in (self._beat(), self._keep(), self._fold(), *chores)]
        try:
            await self._life
        except asyncio.CancelledError:
            log.info("stopped")
        finally:
            loop.remove_reader(self.parent.fileno())
            for task in side:
                task.cancel()
            await asyncio.gather(*side, return_exceptions=True)
            send(self.parent, heartbeat.report(self.wiring, self.bound, self.consumer, "stopped"))
            logs.tick(last=True)
            if self.wiring.counters.suspects:
                await self.wiring.case.leave(self.postgres)
            await self.nats.close()
            await self.postgres.close()
        return EXIT_OK

    async def _live(self) -> None:
        condition = self.wiring.condition
        parked_s = 0.0
        while not self.draining:
            began_s = clock.monotonic_s()
            try:
                await self._session()
            except Rebind as change:
                log.warning("binding again", extra={"reason": str(change)})
            except (ConsumerLost, StreamRegressed) as change:
                condition.become("waiting", str(change))
                await self._sleep(0.2)
            except Retryable as error:
                condition.become("waiting", str(error))
                self.postgres.circuit_breaker.schedule_retry(clock.monotonic_s(), _WAIT_S)
                await self._sleep(_WAIT_S)
            except (Fatal, Rejected) as error:
                if isinstance(error, Rejected) and error.verdict in (Verdict.AGAIN, Verdict.HALVE):
                    condition.become("waiting", str(error))
                    await self._sleep(_WAIT_S)
                    continue
                condition.become("parked", str(error))
                self.postgres.circuit_breaker.close()
                parked_s = next_pause_s(parked_s, clock.monotonic_s() - began_s)
                await self._sleep(parked_s)

    async def _session(self) -> None:
        """Bind once and run the line until it ends."""
        if not self.nats.connected:
            await self._connect_nats()
        self.bound = bound = await self.wiring.bind()
        self.postgres.circuit_breaker.close()
        self.consumer = bound.consumer
        bound.line.fault = self.fault
        self.nats.on_reconnect = bound.pull.renew
        self.orders.attend()
        if self.draining:
            return
        self.wiring.condition.become("running")
        try:
            await bound.line.run()
        finally:
            self.bound = None
            await bound.pull.close()

    async def _connect_nats(self) -> None:
        if self.nats.client.is_reconnecting:
            raise Retryable(self.nats.last_error or "NATS is away; reconnecting")
        # A client that gave up, or never came up, is not used again.
        said = self.nats.last_error
        self.nats = NatsLink(self.settings.nats, f"eventwriter {self.slot}")
        self.nats.last_error = said  # what was logged is not logged again at each attempt
        await self.nats.connect()
        self.wiring.use(self.nats)

    def _hear(self) -> None:
        for command in commands(self.parent):
            match command.get("type"):
                case "drain":
                    self._drain()
                case "stop":
                    self.draining = True
                    if self._life is not None:
                        self._life.cancel()
                    return
                case _:
                    self.orders.hear(command)

    def _drain(self) -> None:
        self.draining = True
        self._woken.set()
        self.wiring.condition.become("draining")
        if self.bound is not None:
            self.bound.pull.drain()

    async def _sleep(self, limit_s: float) -> None:
        """Wait, unless a drain begins."""
        try:
            async with asyncio.timeout(limit_s):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _beat(self) -> None:
        while True:
            gc.collect()
            logs.tick()
            self.clerk.attend()
            self._note_nats()
            self._tell()
            await asyncio.sleep(self.settings.supervisor.heartbeat_s)

    async def _watch(self) -> None:
        # Beside the heartbeat: an answer may take seconds, and a heartbeat must not.
        while True:
            await asyncio.sleep(self.settings.supervisor.heartbeat_s)
            await self._look_at_consumer()
            if self.nats.connected:
                await self.wiring.watch.turn(self.wiring.api, self.wiring.stream.stream_name, self.consumer)

    def _tell(self) -> None:
        send(self.parent, heartbeat.report(self.wiring, self.bound, self.consumer))

    def _note_nats(self) -> None:
        if self.bound is None:
            return
        if not self.nats.connected:
            self.wiring.condition.outage(self.nats.last_error or "NATS is away; reconnecting")
        elif (
            self.wiring.condition.state == "waiting"
            and self.postgres.connected
            and not self.postgres.circuit_breaker.is_open
        ):
            self.wiring.condition.outage(None)

    async def _look_at_consumer(self) -> None:
        bound = self.bound
        if bound is None or not self.nats.connected:
            return
        wiring = self.wiring
        try:
            info, change = await wiring.drift.look(wiring.api, wiring.wish, bound.consumer.created, bound.tracker)
        except (Retryable, Fatal) as error:
            log.debug("consumer not described", extra={"error": str(error)})
            return
        if bound is not self.bound:
            return
        if info is not None:
            self.consumer = ConsumerState.of(info)
        if change is not None:
            bound.pull.lose(change)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self.wiring.stream.ack_wait_s / 3)
            if self.bound is not None:
                await self.wiring.keep(self.bound.line)

    async def _fold(self) -> None:
        while True:
            await asyncio.sleep(_FOLD_S)
            bound, consumer = self.bound, self.consumer
            if bound is None or consumer is None or consumer.created != bound.consumer.created:
                continue
            if bound.line.quarantine is not None:
                await bound.line.quarantine.see(consumer.ack_floor_stream_seq)
            await bound.folding.look(consumer, idle=not bound.line.in_flight)


def run(settings: Settings, slot: SlotName, link: socket.socket) -> int:
    """
    Be the worker of `slot` until told otherwise; return the process's exit code.

    Args:
        link: The child's end of the socket pair to the supervisor (SOCK_SEQPACKET).
    """

    async def main() -> int:
        return await Worker(settings, slot, link).run()

    began_s = clock.monotonic_s()
    # A line makes many small objects and hardly a cycle: collecting every 700 of them took a
    # quarter of the worker's CPU. The heartbeat collects once a second instead (about 1 ms).
    gc.freeze()
    gc.disable()
    try:
        return _run_loop(main())
    except Exception as error:
        about = {"slot": str(slot), "after_s": round(clock.monotonic_s() - began_s, 1)}
        if reason := nothing_left(error):
            log.error("worker cannot go on", extra={**about, "reason": f"{reason}: a limit of the system"})
        else:
            log.exception("worker crashed", extra=about)
        return EXIT_CRASHED


def nothing_left(error: BaseException | None) -> str | None:
    """Say of what the system has nothing left, where that is what an exception began with."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NOTHING_LEFT:
            return error.strerror
        error = error.__context__
    return None


def _run_loop(main: Coroutine[Any, Any, int]) -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
