"""
A worker process: connect, build a session, run its pipeline, and build the next session when something has changed.

The worker exits only when it is drained, stopped or killed. While a server is unavailable it retries. An error that
only an operator can fix parks it: it reports the error and retries at growing intervals.
"""

import asyncio
import errno
import gc
import logging
import socket
from collections.abc import Coroutine
from functools import partial
from typing import Any

import uvloop

from eventwriter import clock
from eventwriter.config.settings import Settings
from eventwriter.control.worker_link import receive_commands, send
from eventwriter.errors import Fatal, Retryable
from eventwriter.jetstream.consumer import ConsumerState
from eventwriter.jetstream.pull import ConsumerLost
from eventwriter.model import SlotName
from eventwriter.observe import logging as logs
from eventwriter.pipeline.copy_stage import StreamRegressed
from eventwriter.postgres.errors import Rejected, Verdict
from eventwriter.worker import heartbeat
from eventwriter.worker.commands import CommandHandler
from eventwriter.worker.consumer_watch import next_pause_s, pause_reason
from eventwriter.worker.context import WorkerContext
from eventwriter.worker.idle_probe import IdleProbe
from eventwriter.worker.retention import delete_expired_forever
from eventwriter.worker.session import Session, SessionBuilder
from eventwriter.worker.table_binding import Rebind

log = logging.getLogger(__name__)

_RETRY_S = 1.0
"""Pause between attempts to reach a server."""
_REBIND_S = 0.2
"""Pause before the next session after the consumer or the stream changed."""
_COMPACT_INTERVAL_S = 5.0
"""Interval between checks of the ledger for holes."""

EXIT_OK, EXIT_CRASHED = 0, 70
RESOURCE_LIMITS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors of an exhausted system resource; a traceback would not help to fix them."""


class Worker:
    """
    One slot's worker. Everything in it runs in one event loop.

    Args:
        link: The worker's end of the socket pair to the supervisor (SOCK_SEQPACKET).
    """

    def __init__(self, settings: Settings, slot: SlotName, link: socket.socket) -> None:
        self.context = WorkerContext(settings, slot, self.send_heartbeat)
        self.builder = SessionBuilder(self.context)
        self.session: Session | None = None
        self.draining = False
        self.commands = CommandHandler(
            self.context, lambda: self.session, partial(send, link), drain=self.drain, stop=self.stop
        )
        self._link = link
        self._drain_requested = asyncio.Event()
        self._sessions: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """Run until drained or stopped; return the exit code."""
        loop = asyncio.get_running_loop()
        self._link.setblocking(False)
        loop.add_reader(self._link.fileno(), self._receive_commands)
        self._sessions = asyncio.ensure_future(self._run_sessions())
        side_tasks = [asyncio.ensure_future(task) for task in self._side_tasks()]
        try:
            await self._sessions
        except asyncio.CancelledError:
            log.info("stopped")
        finally:
            loop.remove_reader(self._link.fileno())
            for task in side_tasks:
                task.cancel()
            await asyncio.gather(*side_tasks, return_exceptions=True)
            await self._close()
        return EXIT_OK

    def drain(self) -> None:
        """Stop pulling, settle what is held, and exit."""
        self.draining = True
        self._drain_requested.set()
        self.context.status.set("draining")
        if self.session is not None:
            self.session.pull.drain()

    def stop(self) -> None:
        """Exit immediately; unsettled messages are redelivered."""
        self.draining = True
        if self._sessions is not None:
            self._sessions.cancel()

    def send_heartbeat(self) -> None:
        """Send a heartbeat to the supervisor."""
        send(self._link, heartbeat.report(self.context, self.session, self.context.consumer))

    async def _run_sessions(self) -> None:
        """Run one session after the other, and decide by the error of each when to begin the next."""
        status, postgres = self.context.status, self.context.postgres
        pause_s = 0.0
        while not self.draining:
            started_s = clock.monotonic_s()
            try:
                await self._run_session()
            except Rebind as change:
                log.warning("rebinding", extra={"reason": str(change)})
            except (ConsumerLost, StreamRegressed) as change:
                status.set("waiting", str(change))
                await self._sleep(_REBIND_S)
            except Retryable as error:
                status.set("waiting", str(error))
                postgres.circuit_breaker.schedule_retry(clock.monotonic_s(), _RETRY_S)
                await self._sleep(_RETRY_S)
            except (Fatal, Rejected) as error:
                if isinstance(error, Rejected) and error.verdict in (Verdict.AGAIN, Verdict.HALVE):
                    status.set("waiting", str(error))
                    await self._sleep(_RETRY_S)
                    continue
                status.set("parked", str(error))
                postgres.circuit_breaker.close()
                pause_s = next_pause_s(pause_s, clock.monotonic_s() - started_s)
                await self._sleep(pause_s)

    async def _run_session(self) -> None:
        """Build one session and run it to its end."""
        context = self.context
        if not context.nats.connected:
            await self._connect_nats()
        self.session = session = await self.builder.build()
        context.postgres.circuit_breaker.close()
        context.consumer = session.consumer
        context.nats.on_reconnect = session.pull.renew
        context.nats.on_disconnect = context.status.note_error
        self.commands.apply_to_session()
        if self.draining:
            return
        context.status.set("running")
        try:
            await session.run()
        finally:
            self.session = None

    async def _connect_nats(self) -> None:
        nats = self.context.nats
        if nats.client.is_reconnecting:
            raise Retryable(nats.last_error or "NATS is unreachable; reconnecting", code="nats_unreachable")
        # A client that is closed, or that never connected, cannot be used again.
        await self.context.replace_nats().connect()

    async def _close(self) -> None:
        context = self.context
        send(self._link, heartbeat.report(context, self.session, context.consumer, "stopped"))
        logs.write_summaries(last=True)
        if context.counters.suspects:
            await context.quarantine.close()
        await context.nats.close()
        await context.postgres.close()

    def _receive_commands(self) -> None:
        for command in receive_commands(self._link):
            self.commands.handle(command)

    async def _sleep(self, limit_s: float) -> None:
        """Wait, but no longer than until a drain is requested."""
        try:
            async with asyncio.timeout(limit_s):
                await self._drain_requested.wait()
        except TimeoutError:
            pass

    def _side_tasks(self) -> list[Coroutine[Any, Any, None]]:
        """Return the tasks that run beside the sessions, each until it is cancelled."""
        context = self.context
        tasks = [
            self._send_heartbeats(),
            self._watch_consumer(),
            self._send_in_progress(),
            self._compact_ledger(),
            context.statement_monitor.run(),
            IdleProbe(context.postgres, context.status, lambda: self.session).run(),
            delete_expired_forever(
                context.postgres, context.stream.schema_name, context.settings.dead_letters, context.counters
            ),
        ]
        if context.slot.partition == 0:
            tasks.append(context.partition_maintenance.run())
        return tasks

    async def _send_heartbeats(self) -> None:
        while True:
            gc.collect()
            logs.write_summaries()
            self.commands.update_taps()
            self._check_nats()
            self.send_heartbeat()
            await asyncio.sleep(self.context.settings.supervisor.heartbeat_s)

    def _check_nats(self) -> None:
        context = self.context
        if self.session is None:
            return
        if not context.nats.connected:
            context.status.set_outage(context.nats.last_error or "NATS is unreachable; reconnecting")
        elif (
            context.status.state == "waiting"
            and context.postgres.connected
            and not context.postgres.circuit_breaker.is_open
        ):
            context.status.set_outage(None)

    async def _watch_consumer(self) -> None:
        # In a task of its own: an answer may take seconds, and must not delay a heartbeat.
        context = self.context
        while True:
            await asyncio.sleep(context.settings.supervisor.heartbeat_s)
            await self._check_consumer()
            if context.nats.connected:
                await context.stream_monitor.refresh(context.api, context.stream.stream_name, context.consumer)

    async def _check_consumer(self) -> None:
        context, session = self.context, self.session
        if session is None or not context.nats.connected:
            return
        try:
            info, change = await context.consumer_watch.check(
                context.api, context.consumer_spec, session.consumer.created, session.tracker
            )
        except (Retryable, Fatal) as error:
            log.debug("consumer info not available", extra={"error": str(error)})
            return
        if session is not self.session:
            return
        if info is not None:
            context.consumer = ConsumerState.of(info)
            context.status.consumer_paused = pause_reason(context.consumer_spec, context.consumer)
        if change is not None:
            session.pull.invalidate(change)

    async def _send_in_progress(self) -> None:
        while True:
            await asyncio.sleep(self.context.stream.ack_wait_s / 3)
            if self.session is not None:
                await self.session.send_in_progress()

    async def _compact_ledger(self) -> None:
        while True:
            await asyncio.sleep(_COMPACT_INTERVAL_S)
            session, consumer = self.session, self.context.consumer
            if session is None or consumer is None or consumer.created != session.consumer.created:
                continue
            if session.pipeline.quarantine is not None:
                await session.pipeline.quarantine.end_if_settled(consumer.ack_floor_stream_seq)
            await session.compactor.check(consumer, idle=session.held.copy_is_idle())
            if session.ledger.is_closed:
                session.pull.invalidate("another worker has started a newer epoch of the stream")


def run(settings: Settings, slot: SlotName, link: socket.socket) -> int:
    """
    Run the worker of `slot` until it is drained or stopped; return the process's exit code.

    Args:
        link: The child's end of the socket pair to the supervisor (SOCK_SEQPACKET).
    """

    async def main() -> int:
        return await Worker(settings, slot, link).run()

    started_s = clock.monotonic_s()
    # The pipeline creates many small objects and hardly any cycle: a collection every 700 objects took a quarter of
    # the worker's CPU. Each heartbeat collects instead, once a second (about 1 ms).
    gc.freeze()
    gc.disable()
    try:
        return _run_loop(main())
    except Exception as error:
        fields = {"slot": str(slot), "after_s": round(clock.monotonic_s() - started_s, 1)}
        if reason := exhausted_resource(error):
            log.error("worker cannot continue: a system limit was reached", extra={**fields, "reason": reason})
        else:
            log.exception("worker crashed", extra=fields)
        return EXIT_CRASHED


def exhausted_resource(error: BaseException | None) -> str | None:
    """Return the system's description of an exhausted resource that caused an exception, or None for other causes."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in RESOURCE_LIMITS:
            return error.strerror
        error = error.__context__
    return None


def _run_loop(main: Coroutine[Any, Any, int]) -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
