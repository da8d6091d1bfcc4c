"""Signals as bytes."""

import os
import select
import signal

from eventwriter.supervisor.signals import Wakeup


def test_signals_arrive_in_order_and_handlers_go_back() -> None:
    """Signals are read as numbers, and closing restores what was there before."""
    before = signal.getsignal(signal.SIGHUP)
    wakeup = Wakeup((signal.SIGHUP, signal.SIGUSR2))

    for number in (signal.SIGUSR2, signal.SIGHUP):
        os.kill(os.getpid(), number)
    readable = select.select([wakeup], [], [], 5)[0]
    numbers = wakeup.read()
    empty = wakeup.read()
    wakeup.close()

    assert [wakeup] == readable
    assert [signal.SIGUSR2, signal.SIGHUP] == numbers
    assert [] == empty
    assert before == signal.getsignal(signal.SIGHUP)
