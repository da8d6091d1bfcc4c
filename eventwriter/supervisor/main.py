"""
The supervisor's loop: wait, reap, hear, answer, plan, act.

One thread, one `select`. It forks the workers, listens to their heartbeats, to
signals and to operators, and carries out what `plan` decides.
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
from eventwriter.model import SlotName
from eventwriter.observe import logging as logs
from eventwriter.observe.process import own_usage
from eventwriter.supervisor import processes
from eventwriter.supervisor.desired_state import DesiredState, with_control_of
from eventwriter.supervisor.plan import BUSY_TICK_S, Wanted, plan, wait_s
from eventwriter.supervisor.reload import in_words, outlook, scaled
from eventwriter.supervisor.requests import PendingRequests, WorkerRequest
from eventwriter.supervisor.signals import Wakeup
from eventwriter.supervisor.slot import Slot
from eventwriter.supervisor.status import Daemon, sentence, snapshot
from eventwriter.supervisor.systemd import Notifier
from eventwriter.supervisor.verbs import READING, obey
from eventwriter.supervisor.web import Web
from eventwriter.supervisor.workers import WorkerPool

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
EXIT_CLEAN, EXIT_UNCLEAN, EXIT_BROKEN = 0, 1, 70
TELL_S = 0.5  # drawing the picture for systemd at every heartbeat of 64 workers would cost 6 % of a core

log = logging.getLogger(__name__)


class Supervisor:
    """
    The parent of all workers.

    Args:
        fleet: What to keep running.
        claim: The control socket, taken.
        reread: Reads the configuration again; raises EventwriterError where it cannot be used.
        notifier: The line to systemd.
        random: From 0 to below 1, for the jitter of restarts.
    """

    def __init__(
        self,
        fleet: DesiredState,
        claim: BoundSocket,
        reread: Callable[[], DesiredState],
        notifier: Notifier,
        random: Callable[[], float],
    ) -> None:
        self._fleet, self._wanted = fleet, Wanted(fleet.fingerprints)
        self._claim, self._reread, self._notifier = claim, reread, notifier
        self._server = Server(claim.listener)
        self._wakeup = Wakeup(SIGNALS)
        self._selector = selectors.EpollSelector()
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        self._selector.register(self._server, selectors.EVENT_READ)
        self._now_s = self._tell_at_s = clock.monotonic_s()
        self._daemon = Daemon(__version__, os.getpid(), clock.now_ns(), self._now_s, stopping=False)
        self._is_busy = True  # one action may call for another; only a turn without any is followed by sleep
        self._crew = WorkerPool(self._selector, self._close_in_child, random)
        self._crew.adopt(self._now_s, fleet)
        self._errands = PendingRequests()
        self._crew.on_answer = self._errands.hear
        self._web = Web(self._selector, self._close_in_child, random)
        self._web.adopt(self._now_s, fleet.web)

    def run(self) -> int:
        """Keep the fleet running until told to stop; returns the exit code."""
        try:
            while not self.is_over():
                self.wait()
                self.reap()
                self.hear()
                self.answer()
                actions = plan(self._now_s, self._wanted, self.slots, self._fleet.limits)
                for action in actions:
                    self._crew.act(self._now_s, action, self._fleet)
                self._is_busy = self._turn_web() or bool(actions)
                self.tell()
        except Exception:
            log.exception("the supervisor broke; its workers are killed, what they had open will be delivered again")
            return EXIT_BROKEN
        finally:
            self._close()
        unclean = self._crew.unclean
        log.info("stopped", extra={"clean": not unclean})
        logs.write_summaries(last=True)
        return EXIT_UNCLEAN if unclean else EXIT_CLEAN

    def is_over(self) -> bool:
        """Say whether the last child is gone after a stop."""
        return self._wanted.stopping and self._crew.is_empty() and self._web.crew.is_empty()

    def wait(self) -> None:
        """Sleep until a signal, a heartbeat, an exit, a client, or a deadline."""
        is_busy = self._is_busy or self._server.has_work()
        places = chain(self.slots.values(), self._web.crew.slots.values())
        rest_s = wait_s(clock.monotonic_s(), places)
        # A worker's answer wakes the loop; what does not come has a deadline.
        rest_s = rest_s if self._errands.is_empty() else min(rest_s, BUSY_TICK_S)
        self._selector.select(0.0 if is_busy else rest_s)
        self._now_s = clock.monotonic_s()

    def reap(self) -> None:
        """Bury the children that exited; strangers (as process 1 of a container has them) are let go."""
        for pid, status in processes.reap():
            if not self._crew.bury(self._now_s, pid, status, self._fleet):
                self._web.bury(self._now_s, pid, status)

    def hear(self) -> None:
        """Take in heartbeats and signals."""
        self._crew.hear(self._now_s)
        self._web.crew.hear(self._now_s)
        for number in self._wakeup.read():
            if number in (signal.SIGTERM, signal.SIGINT):
                self.stop(signal.Signals(number).name)
            elif number == signal.SIGHUP:
                self._reload_by_signal()

    def answer(self) -> None:
        """Let operators ask, and have the answers that workers gave."""
        self._server.turn(self._now_s, self._answer)
        self._errands.turn(self._now_s)
        self._server.deliver(self._now_s)

    def tell(self) -> None:
        """Tell systemd how things are, and that this loop turns."""
        self._notifier.watchdog(self._now_s)
        logs.write_summaries()
        if self._now_s < self._tell_at_s:
            return
        self._tell_at_s = self._now_s + TELL_S
        if not self.stopping and all(slot.ever_ready for slot in self.slots.values()):
            self._notifier.ready()
        self._notifier.status(sentence(self.picture()))

    @property
    def slots(self) -> Mapping[SlotName, Slot]:
        """Every slot, by name."""
        return self._crew.slots

    @property
    def stopping(self) -> bool:
        """Whether the daemon is going down."""
        return self._wanted.stopping

    @property
    def settings(self) -> Settings | None:
        """What the daemon runs with."""
        return self._fleet.settings

    def picture(self) -> dict[str, Any]:
        """Return the snapshot."""
        web = self._web.picture(self._now_s)
        return {**snapshot(self._now_s, self._daemon, self.slots.values()), "web": web, "supervisor": own_usage()}

    def stop(self, reason: str) -> None:
        """Drain everything and exit; the second time, do not wait for open work."""
        quick = self.stopping
        log.info("stopping quickly" if quick else "stopping", extra={"reason": reason})
        self._wanted = Wanted(self._fleet.fingerprints, stopping=True, quick=quick)
        self._daemon = dataclasses.replace(self._daemon, stopping=True)
        # What was unclean before the stop has had its own log line; the exit code speaks of the stop.
        self._crew.unclean = quick and not self._crew.is_empty()
        self._notifier.stopping()

    def preview(self) -> dict[str, Any]:
        """
        Say what `reload` would change.

        Raises:
            EventwriterError: The configuration cannot be used.
        """
        return outlook(self._fleet, self._reread())

    def reload(self) -> dict[str, Any]:
        """
        Read the configuration again; workers whose settings changed are replaced.

        Raises:
            EventwriterError: It cannot be used; nothing has changed.
        """
        fleet, before = self._reread(), self._fleet
        told = outlook(before, fleet)
        if was_ready := self._notifier.is_ready:
            self._notifier.reloading()
        for warning in fleet.warnings:
            log.warning(warning)
        self.log_level(fleet.log_level, fleet.log_format)
        for slot in self.slots.values():
            slot.standing.pop("log_level", None)  # new workers have it from the configuration
        self._adopt(with_control_of(before, fleet))
        if was_ready:
            self._notifier.ready()
        result = in_words(told)
        log.info("configuration read again", extra={"result": result})
        return {"reloaded": result, **told}

    def scale(self, stream: str, workers: int) -> dict[str, Any]:
        """
        Change a stream's number of workers, until the configuration is read again.

        Raises:
            EventwriterError: It may not be changed just so; the sentence says what to do.
        """
        before = self._fleet
        if before.settings is None or before.refit is None:
            raise Fatal("this daemon was not started from settings: it cannot be scaled")
        fleet = before.refit(scaled(before.settings, stream, workers))
        self._adopt(fleet)
        told = outlook(before, fleet)
        return {"stream": stream, "workers": workers, **{what: told[what] for what in ("started", "removed")}}

    def log_level(self, level: str, form: str | None = None) -> None:
        """Change the level of every process, and the form of its lines where one is given."""
        logs.set_options(level, form)
        for slot in self.slots.values():
            slot.standing["log_level"] = {"type": "log_level", "level": level}
        for crew in (self._crew, self._web.crew):
            crew.tell_all({"type": "log_level", "level": level, "format": form})

    def _adopt(self, fleet: DesiredState) -> None:
        """Have this fleet from now on; `plan` finds whom to replace."""
        self._fleet, self._wanted = fleet, Wanted(fleet.fingerprints)
        self._crew.adopt(self._now_s, fleet)
        self._web.adopt(self._now_s, fleet.web)
        for slot in self.slots.values():
            if slot.worker is not None and (count := fleet.sharers(slot.name)):
                processes.send(slot.worker, {"type": "sharers", "count": count})

    def _turn_web(self) -> bool:
        """Look after the web child, which goes last."""
        over = self._wanted.stopping and self._crew.is_empty()
        return self._web.turn(self._now_s, over, over and self._wanted.quick)

    def _reload_by_signal(self) -> None:
        if self.stopping:
            return
        if was_ready := self._notifier.is_ready:
            self._notifier.reloading()
        try:
            self.reload()
        except EventwriterError as error:
            for mistake in error.errors if isinstance(error, ConfigError) else [str(error)]:
                log.error("configuration not read again, nothing changed", extra={"mistake": mistake})
        if was_ready:  # also of a reload that changes nothing: a unit of Type=notify-reload waits for the word
            self._notifier.ready()

    def _answer(self, request: Request, who: str) -> bytes | DeferredAnswer:
        if request.verb not in READING:
            of = request.fields.get("slot", "all")
            log.info("an operator asks", extra={"verb": request.verb, "who": who, "of": of})
        try:
            said = obey(self, dataclasses.replace(request, who=who))
            if isinstance(said, WorkerRequest):
                return self._errands.begin(self._now_s, request.ref, said)
            return protocol.answer(request.ref, said)
        except EventwriterError as error:
            return protocol.refusal(request.ref, "; ".join(str(error).splitlines()))
        except Exception:
            log.exception("a verb broke", extra={"verb": request.verb})
            return protocol.refusal(request.ref, f"{request.verb} broke; the daemon's log says where")

    def _close_in_child(self) -> None:
        """Close a forked child's copies of every descriptor that is the supervisor's own."""
        self._selector.close()  # closes the copy only; unregistering would deafen the parent, see Server.abandon
        self._server.abandon()
        self._wakeup.abandon()
        self._notifier.close()
        self._crew.abandon()
        self._web.crew.abandon()
        os.close(self._claim.lock_fd)

    def _close(self) -> None:
        """Give everything back."""
        self._crew.close()
        self._web.crew.close()
        self._server.close()
        self._claim.leave()
        self._selector.close()
        self._wakeup.close()
        self._notifier.close()
