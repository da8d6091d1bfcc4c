"""
The supervisor's loop: wait, reap, receive, answer, plan, act.

One thread with one selector forks the workers, receives their heartbeats, signals and operators'
requests, and carries out the actions that `plan` returns.
"""

import dataclasses
import logging
import os
import selectors
import signal
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

from eventwriter import __version__, clock
from eventwriter.config.settings import Settings
from eventwriter.control import protocol
from eventwriter.control.protocol import Request
from eventwriter.control.server import DeferredAnswer, Server
from eventwriter.control.socket_lock import BoundSocket
from eventwriter.errors import ConfigError, EventwriterError, Fatal
from eventwriter.observe import logging as logs
from eventwriter.observe.process import own_usage
from eventwriter.supervisor import processes
from eventwriter.supervisor.desired_state import DesiredState, keep_control
from eventwriter.supervisor.plan import BUSY_TICK_S, Action, Start, Wanted, plan, wait_s
from eventwriter.supervisor.reload import diff, scale, summary
from eventwriter.supervisor.requests import PendingRequests, WorkerRequest
from eventwriter.supervisor.signals import SignalReader
from eventwriter.supervisor.slot import ChildName, Slot
from eventwriter.supervisor.status import Daemon, snapshot
from eventwriter.supervisor.status import summary as status_summary
from eventwriter.supervisor.systemd import Notifier
from eventwriter.supervisor.verbs import VERBS, dispatch
from eventwriter.supervisor.web import Web
from eventwriter.supervisor.workers import WorkerPool

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
EXIT_CLEAN, EXIT_UNCLEAN, EXIT_BROKEN = 0, 1, 70
STARTS_S_MAX = 0.05
"""Time for starting workers in one turn of the loop; a fork takes milliseconds, and requests wait meanwhile."""
REPORT_S = 0.5  # a snapshot for systemd at every heartbeat of 64 workers would take 6 % of a core

log = logging.getLogger(__name__)


class Supervisor:
    """
    The parent of all workers.

    Args:
        desired: What to keep running.
        bound_socket: The control socket.
        load_desired: Loads the configuration again; raises EventwriterError if it is invalid.
        notifier: Sender of notifications to systemd.
        random: Returns a number from 0 to below 1, for the jitter of restarts.
    """

    def __init__(
        self,
        desired: DesiredState,
        bound_socket: BoundSocket,
        load_desired: Callable[[], DesiredState],
        notifier: Notifier,
        random: Callable[[], float],
    ) -> None:
        self._desired, self._wanted = desired, Wanted(desired.fingerprints)
        self._bound_socket, self._load_desired, self._notifier = bound_socket, load_desired, notifier
        self._server = Server(bound_socket.listener)
        self._signals = SignalReader(SIGNALS)
        self._selector = selectors.EpollSelector()
        self._selector.register(self._signals, selectors.EVENT_READ)
        self._selector.register(self._server, selectors.EVENT_READ)
        self._now_s = self._report_at_s = clock.monotonic_s()
        self._daemon = Daemon(__version__, os.getpid(), clock.now_ns(), self._now_s, stopping=False)
        self._is_busy = True  # an action may make another one necessary, so the loop sleeps only after a turn without
        self._plan_at_s = 0.0  # planning looks at all slots, so a heartbeat alone is no reason for it
        self._readable: list[Callable[[float], None]] = []
        self._pool = WorkerPool(self._selector, self._close_in_child, random)
        self._pool.reconcile(self._now_s, desired)
        self._requests = PendingRequests()
        self._pool.on_answer = self._requests.record_reply
        self._web = Web(self._selector, self._close_in_child, random)
        self._web.apply(self._now_s, desired.web)

    def run(self) -> int:
        """Keep everything running until the daemon is stopped; return the exit code."""
        try:
            while not self.is_finished():
                self.wait()
                self.reap()
                self.receive()
                self.answer()
                self.act()
                self.report()
        except Exception:
            log.exception("supervisor failed; workers are killed, and their open messages will be redelivered")
            return EXIT_BROKEN
        finally:
            self._close()
        unclean = self._pool.unclean
        log.info("stopped", extra={"clean": not unclean})
        logs.write_summaries(last=True)
        return EXIT_UNCLEAN if unclean else EXIT_CLEAN

    def is_finished(self) -> bool:
        """Return whether the daemon is stopping and all children have exited."""
        return self._wanted.stopping and self._pool.is_empty() and self._web.pool.is_empty()

    def wait(self) -> None:
        """Sleep until a signal, a packet, an exit, a client, or a deadline."""
        is_busy = self._is_busy or self._server.has_work()
        longest_s = max(0.0, self._plan_at_s - clock.monotonic_s())
        # A worker's reply wakes the loop; only a missing reply needs the deadline.
        longest_s = longest_s if self._requests.is_empty() else min(longest_s, BUSY_TICK_S)
        events = self._selector.select(0.0 if is_busy else longest_s)
        self._readable = [key.data for key, _ in events if key.data is not None]
        self._now_s = clock.monotonic_s()

    def reap(self) -> None:
        """Process the exits of children; exits of unrelated processes, as in a container, are ignored."""
        for pid, status in processes.reap():
            self._plan_at_s = 0.0
            if not self._pool.reap(self._now_s, pid, status, self._desired):
                self._web.reap(self._now_s, pid, status)

    def receive(self) -> None:
        """Process packets of workers, and signals."""
        for receive in self._readable:
            receive(self._now_s)
        for number in self._signals.read():
            if number in (signal.SIGTERM, signal.SIGINT):
                self.stop(signal.Signals(number).name)
            elif number == signal.SIGHUP:
                self._reload_on_signal()

    def answer(self) -> None:
        """Answer requests of operators, also those that were waiting for workers."""
        self._server.poll(self._now_s, self._answer_request)
        self._requests.poll(self._now_s)
        self._server.deliver(self._now_s)

    def act(self) -> None:
        """Plan and act for all workers, and then for the web child, which stops last."""
        actions: list[Action] = []
        if self._is_busy or self._now_s >= self._plan_at_s:
            actions = plan(self._now_s, self._wanted, self._pool.slots, self._desired.limits)
            self._carry_out(actions)
            slots = chain(self._pool.slots.values(), self._web.pool.slots.values())
            self._plan_at_s = self._now_s + wait_s(self._now_s, slots)
        workers_gone = self._wanted.stopping and self._pool.is_empty()
        web_acted = self._web.step(self._now_s, workers_gone, workers_gone and self._wanted.quick)
        self._is_busy = web_acted or bool(actions)

    def _carry_out(self, actions: list[Action]) -> None:
        """Carry out actions; a worker that is to be started after `STARTS_S_MAX` is left to the next turn."""
        begun_s, started = clock.monotonic_s(), False
        for action in actions:
            if isinstance(action, Start):
                if started and clock.monotonic_s() - begun_s > STARTS_S_MAX:
                    continue
                started = True
            self._pool.act(self._now_s, action, self._desired)

    def report(self) -> None:
        """Report the state to systemd, and that the loop is running."""
        self._notifier.watchdog(self._now_s)
        logs.write_summaries()
        if self._now_s < self._report_at_s:
            return
        self._report_at_s = self._now_s + REPORT_S
        if not self.stopping:
            # Not only when the workers have their servers: a server that is missing must not block the boot.
            self._notifier.ready()
        self._notifier.status(status_summary(self.snapshot()))

    @property
    def slots(self) -> Mapping[ChildName, Slot]:
        """All slots by name."""
        return self._pool.slots

    @property
    def stopping(self) -> bool:
        """Whether the daemon is stopping."""
        return self._wanted.stopping

    @property
    def settings(self) -> Settings | None:
        """The settings that the daemon runs with."""
        return self._desired.settings

    def snapshot(self) -> dict[str, Any]:
        """Return the state of the daemon and its slots."""
        web = self._web.to_dict(self._now_s)
        return {**snapshot(self._now_s, self._daemon, self.slots.values()), "web": web, "supervisor": own_usage()}

    def stop(self, reason: str) -> None:
        """Drain all workers and exit; the second call does not wait for open messages."""
        quick = self.stopping
        log.info("stopping quickly" if quick else "stopping", extra={"reason": reason})
        self._wanted = Wanted(self._desired.fingerprints, stopping=True, quick=quick)
        self._plan_at_s = 0.0
        self._daemon = dataclasses.replace(self._daemon, stopping=True)
        # The exit code describes only the stop; earlier unclean exits have been logged.
        self._pool.unclean = quick and not self._pool.is_empty()
        self._notifier.stopping()

    def preview_reload(self) -> dict[str, Any]:
        """
        Return what a reload would change.

        Raises:
            EventwriterError: The configuration is invalid.
        """
        return diff(self._desired, self._load_desired())

    def reload(self) -> dict[str, Any]:
        """
        Load the configuration again and apply it; workers whose settings changed are replaced.

        Raises:
            EventwriterError: The configuration is invalid; nothing has changed.
        """
        before, after = self._desired, self._load_desired()
        changes = diff(before, after)
        if was_ready := self._notifier.is_ready:
            self._notifier.reloading()
        for warning in after.warnings:
            log.warning(warning)
        self.set_log_level(after.log_level, after.log_format)
        for slot in self.slots.values():
            slot.sticky_commands.pop("log_level", None)  # new workers take the level from the configuration
        self._apply(keep_control(before, after))
        if was_ready:
            self._notifier.ready()
        result = summary(changes)
        log.info("configuration reloaded", extra={"result": result})
        return {"reloaded": result, **changes}

    def scale(self, stream: str, workers: int) -> dict[str, Any]:
        """
        Change a stream's number of workers until the configuration is loaded again.

        Raises:
            EventwriterError: The stream cannot have this number of workers.
        """
        before = self._desired
        if before.settings is None or before.rebuild is None:
            raise Fatal("this daemon was not started from settings, so it cannot be scaled", code="not_scalable")
        after = before.rebuild(scale(before.settings, stream, workers))
        self._apply(after)
        changes = diff(before, after)
        return {"stream": stream, "workers": workers, **{key: changes[key] for key in ("started", "removed")}}

    def set_log_level(self, level: str, form: str | None = None) -> None:
        """Change the log level of every process, and the log format if one is given."""
        logs.set_options(level, form)
        for slot in self.slots.values():
            slot.sticky_commands["log_level"] = {"type": "log_level", "level": level}
        for pool in (self._pool, self._web.pool):
            pool.broadcast({"type": "log_level", "level": level, "format": form})

    def _apply(self, desired: DesiredState) -> None:
        """Set the desired state; `plan` then replaces the workers whose settings changed."""
        self._desired, self._wanted = desired, Wanted(desired.fingerprints)
        self._plan_at_s = 0.0
        self._pool.reconcile(self._now_s, desired)
        self._web.apply(self._now_s, desired.web)
        for slot in self.slots.values():
            if slot.worker is not None and (count := desired.durable_workers(slot.name)):
                processes.send(slot.worker, {"type": "sharers", "count": count})

    def _reload_on_signal(self) -> None:
        if self.stopping:
            return
        if was_ready := self._notifier.is_ready:
            self._notifier.reloading()
        try:
            self.reload()
        except EventwriterError as error:
            for text in error.errors if isinstance(error, ConfigError) else [str(error)]:
                log.error("configuration not reloaded, nothing changed", extra={"error": text})
        if was_ready:  # also after a failed reload, because a unit of Type=notify-reload waits for READY=1
            self._notifier.ready()

    def _answer_request(self, request: Request) -> bytes | DeferredAnswer:
        self._plan_at_s = 0.0  # the request may change a slot
        verb = VERBS.get(request.verb)
        fields = {"verb": request.verb, "who": request.peer, "of": request.fields.get("slot", "all")}
        try:
            result = dispatch(self, request)
            if isinstance(result, WorkerRequest):
                result = self._requests.start(self._now_s, request.ref, result)
        except EventwriterError as error:
            log.warning("operator request refused", extra={**fields, "code": error.code})
            return protocol.encode_error(request.ref, "; ".join(str(error).splitlines()), error.code)
        except Exception:
            log.exception("operator request failed", extra={"verb": request.verb})
            return protocol.encode_error(request.ref, "internal error; see the daemon's log", "internal")
        if verb is not None and verb.is_logged:
            log.info("operator request", extra=fields)
        return result if isinstance(result, DeferredAnswer) else protocol.encode_answer(request.ref, result)

    def _close_in_child(self) -> None:
        """Close a forked child's copies of all descriptors that belong to the supervisor."""
        self._selector.close()  # without unregistering, which would affect the parent; see Server.close_in_child
        self._server.close_in_child()
        self._signals.close_in_child()
        self._notifier.close()
        self._pool.close_in_child()
        self._web.pool.close_in_child()
        os.close(self._bound_socket.lock_fd)

    def _close(self) -> None:
        """Release all resources."""
        self._pool.close()
        self._web.pool.close()
        self._server.close()
        self._bound_socket.release()
        self._selector.close()
        self._signals.close()
        self._notifier.close()
