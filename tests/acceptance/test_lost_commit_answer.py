"""A COMMIT that the server executes while its answer is lost."""

import asyncio

from fix_daemon import Daemon
from fix_proxy import Proxy


def test_commit_without_an_answer_is_not_repeated(daemon: Daemon) -> None:
    """The ledger shows that the rows of an unanswered COMMIT are written, and they are not written again."""
    dsn = daemon.servers.postgres_dsn()
    port = int(dsn.rpartition(":")[2].partition("/")[0])
    proxy = Proxy(port)
    try:
        daemon.write_config(daemon.servers.nats_url, dsn.replace(f":{port}/", f":{proxy.port}/"))
        daemon.start()

        for cuts in range(1, 4):
            # Only the transaction of a batch has a COPY; transactions that read are committed, too.
            proxy.before(b"COPY ", lambda: proxy.cut_at(b"COMMIT\0"))
            asyncio.run(daemon.publish(500, garbage_every=100))
            daemon.until("reset at COMMIT", lambda cuts=cuts: proxy.cuts == cuts)
            daemon.settled_counts()

        assert (1485, 1485, 15) == daemon.settled_counts()
        daemon.until("skipped", lambda: daemon.slot()["already_written_total"] > 0)
        assert 0 == daemon.stop()
    finally:
        proxy.close()
