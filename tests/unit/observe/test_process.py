"""What a process reads about itself."""

import os

from eventwriter.observe.process import Process, own_usage


def test_figures_are_the_kernels() -> None:
    """Memory, time and descriptors are what another reading of the same process has."""
    own, other = own_usage(), Process(os.getpid()).usage()

    assert abs(own["rss_bytes"] - other.rss_bytes) < 8 * 2**20
    assert abs(own["cpu_s"] - other.cpu_s) < 1.0


def test_open_descriptor_is_counted() -> None:
    """One descriptor more is one more."""
    before = own_usage()["open_fds"]
    read, write = os.pipe()
    after = own_usage()["open_fds"]
    os.close(read)
    os.close(write)

    assert before + 2 == after
