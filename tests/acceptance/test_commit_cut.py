"""A COMMIT whose answer is lost."""

import asyncio

from fix_daemon import Daemon
from fix_proxy import Proxy


def test_commit_whose_answer_is_lost_is_not_repeated(daemon: Daemon) -> None:
    """Rows whose COMMIT was never answered are found in the ledger and not written again."""
    dsn = daemon.servers.postgres_dsn()
    port = int(dsn.rpartition(":")[2].partition("/")[0])
    proxy = Proxy(port)
    proxy.cut_at(b"COMMIT\0", times=3)
    try:
        daemon.write_config(daemon.servers.nats_url, dsn.replace(f":{port}/", f":{proxy.port}/"))
        daemon.start()

        for _ in range(5):
            asyncio.run(daemon.publish(500, garbage_every=100))
            daemon.balance()

        rows, different, dead = daemon.balance()
        assert (3, 2475, 2475, 25) == (proxy.cuts, rows, different, dead)
        assert 0 == daemon.stop()
    finally:
        proxy.close()
