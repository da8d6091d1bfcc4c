"""
Every row of the SQLSTATE table, raised by a real server, and what the copy stage then does.

Most codes are raised by a trigger; those that a server can be brought to raise for real
are raised so in the second half.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import psycopg
import pytest
from fix_pipeline import Bench
from fix_servers import Addresses

from eventwriter.config.settings import PostgresSettings
from eventwriter.errors import Fatal
from eventwriter.kinds.registry import kind
from eventwriter.model import Outcome
from eventwriter.pipeline import retry
from eventwriter.postgres.copy import BatchWrite
from eventwriter.postgres.errors import VERDICTS, Verdict
from eventwriter.postgres.session import PostgresSession
from eventwriter.worker.table_binding import Rebind, find_tables, recheck

THINGS = "CREATE TABLE things (n int, v text)"
ALL = "SELECT n FROM things ORDER BY n"
SHORT_S = 0.001


def codes(*verdicts: Verdict) -> list[str]:
    """Return a code of each row of the table with one of these verdicts."""
    return [key if len(key) == 5 else f"{key}ZZZ" for key, verdict in VERDICTS.items() if verdict in verdicts]


def raise_trigger(code: str, when: str) -> tuple[str, ...]:
    """Return SQL for a trigger that raises a code for rows of `things` that meet the condition `when`."""
    act = f"IF {when} THEN RAISE EXCEPTION 'no such luck' USING ERRCODE = '{code}'; END IF"
    return ("CREATE SEQUENCE times", *row_trigger(act))  # what a sequence counts is not rolled back


def row_trigger(act: str) -> tuple[str, ...]:
    """Return SQL for a trigger that executes statements for each row of `things`."""
    return (
        f"CREATE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {act}; RETURN NEW; END $$",
        "CREATE TRIGGER raise BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION raise()",
    )


@pytest.fixture(scope="module")
def module_database(servers: Addresses) -> Iterator[str]:
    """A database for all tests of this module."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(servers.postgres_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
    yield servers.database_url(name)
    with psycopg.connect(servers.postgres_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


MakeLine = Callable[..., Bench]


@pytest.fixture
async def make_bench(module_database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MakeLine]:
    """A function that creates a bench over an empty schema with short retry delays."""
    monkeypatch.setattr(retry, "pause_s", lambda attempt, share: SHORT_S)
    made: list[Bench] = []

    def make(*sql: str, postgres: dict[str, Any] | None = None, **entry: Any) -> Bench:
        with psycopg.connect(module_database, autocommit=True) as conn:
            conn.execute("DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public")
        one = Bench(module_database, **{"tables": ("things",), **entry}).create_tables(*sql)
        one.postgres = PostgresSession(PostgresSettings.model_validate({"dsn": module_database, **(postgres or {})}))
        made.append(one)
        return one

    yield make
    for one in made:
        await one.postgres.close()


async def until(probe: Callable[[], object]) -> None:
    """Wait until a condition is true."""
    async with asyncio.timeout(20):
        while not probe():  # noqa: ASYNC110  # a server's state
            await asyncio.sleep(0.01)


def batch_sizes(batches: list[BatchWrite]) -> list[int]:
    """Return the number of messages that each attempted batch covers."""
    return [sum(high - low for low, high in batch.covered) for batch in batches]


def rows(count: int, **special: str) -> list[dict[str, Any]]:
    """Return payloads; `n3="bad"` sets the text of the third one."""
    return [{"n": n, "v": special.get(f"n{n}", "good")} for n in range(count)]


@pytest.mark.parametrize("code", codes(Verdict.RETRY, Verdict.AGAIN))
async def test_temporary_server_error_is_retried(make_bench: MakeLine, code: str) -> None:
    """The batch is kept whole and retried until the server accepts it."""
    one = make_bench(THINGS, *raise_trigger(code, "nextval('times') <= 8"))

    settled = await one.settle(*rows(3))

    assert [(0,), (1,), (2,)] == one.read(ALL)
    assert ([Outcome.WRITTEN] * 3, 8, []) == (settled.outcomes, one.counters.retries_total, one.dead_letters())
    assert ("no such luck" in str(one.outages[0]), None) == (True, one.outages[-1])
    assert not one.postgres.circuit_breaker.is_open


@pytest.mark.parametrize("code", codes(Verdict.BISECT, Verdict.DUPLICATE))
async def test_rejected_value_is_a_dead_letter(make_bench: MakeLine, code: str) -> None:
    """Rejected messages become dead letters with the server's code and message, and the others are written."""
    one = make_bench(THINGS, *raise_trigger(code, "NEW.v = 'bad'"), on_conflict="append")

    settled = await one.settle(*rows(8, n2="bad", n3="bad", n7="bad"))

    assert [(0,), (1,), (4,), (5,), (6,)] == one.read(ALL)
    assert [(seq, "rejected", code) for seq in (3, 4, 8)] == one.dead_letters()
    details = one.read("SELECT DISTINCT detail FROM eventwriter_dead_letters")
    assert [("no such luck [PL/pgSQL function raise() line 1 at RAISE]",)] == details
    assert (3, 5) == (settled.count(Outcome.DEAD), settled.count(Outcome.WRITTEN))


@pytest.mark.parametrize("code", codes(Verdict.HALVE))
async def test_batch_above_a_limit_is_halved(make_bench: MakeLine, code: str, batches: list[BatchWrite]) -> None:
    """Pieces are halved until the server accepts them, and the next batch starts with the accepted size."""
    one = make_bench(
        THINGS,
        "CREATE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF (SELECT count(*) FROM fresh) > 3"
        f" THEN RAISE EXCEPTION 'too much' USING ERRCODE = '{code}'; END IF; RETURN NULL; END $$",
        "CREATE TRIGGER raise AFTER INSERT ON things REFERENCING NEW TABLE AS fresh"
        " FOR EACH STATEMENT EXECUTE FUNCTION raise()",
    )

    await one.settle(*rows(8))
    first = batch_sizes(batches)
    batches.clear()
    await one.settle(*rows(8))

    assert ([8, 4, 2, 2, 4, 2, 2], [2, 2, 2, 2]) == (first, batch_sizes(batches))
    assert ([(n,) for n in sorted([*range(8), *range(8)])], []) == (one.read(ALL), one.dead_letters())


@pytest.mark.parametrize("code", codes(Verdict.PARK))
async def test_operator_error_stops_the_slot(make_bench: MakeLine, code: str, batches: list[BatchWrite]) -> None:
    """The slot stops at the first error that an operator must fix, without rows or dead letters."""
    one = make_bench(THINGS, *raise_trigger(code, "NEW.v = 'bad'"))

    with pytest.raises(Fatal, match=f"no such luck.*{code}"):
        await one.settle(*rows(8, n3="bad"))

    assert ([8], [], []) == (batch_sizes(batches), one.read(ALL), one.dead_letters())


@pytest.mark.parametrize("code", [*codes(Verdict.UNKNOWN), "ZZ123"])
async def test_unknown_error_is_retried_a_few_times(make_bench: MakeLine, code: str) -> None:
    """An unknown error is retried; if it persists, the slot stops without dropping a message."""
    one = make_bench(THINGS, *raise_trigger(code, "nextval('times') <= 5 OR NEW.v = 'bad'"))

    await one.settle(*rows(3))
    assert ([(0,), (1,), (2,)], 5) == (one.read(ALL), one.counters.retries_total)
    with pytest.raises(Fatal, match=f"no such luck.*{code}"):
        await one.settle(*rows(3, n1="bad"))

    assert (3, 10, []) == (len(one.read(ALL)), one.counters.retries_total, one.dead_letters())


def test_every_class_of_the_manual_is_in_the_table() -> None:
    """The table contains every SQLSTATE class of appendix A."""
    manual = (
        "00 01 02 03 08 09 0A 0B 0F 0L 0P 0Z 10 20 21 22 23 24 25 26 27 28 2B 2D 2F 34 38 39 3B 3D 3F 40 42 44"
        " 53 54 55 57 58 72 F0 HV P0 XX"
    )

    assert [] == [name for name in manual.split() if name not in VERDICTS]


# For real


async def test_statement_timeout_halves_the_batch(make_bench: MakeLine, batches: list[BatchWrite]) -> None:
    """A COPY that times out is retried with half of the batch."""
    slow = (
        "CREATE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END $$"
    )
    one = make_bench(
        THINGS, slow, "CREATE TRIGGER raise BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION raise()",
        postgres={"statement_timeout": 0.5},
    )  # fmt: skip

    await one.settle(*rows(4))

    assert ([4, 2, 2], 4, []) == (batch_sizes(batches), len(one.read(ALL)), one.dead_letters())


async def test_single_message_that_times_out_stops_the_slot(make_bench: MakeLine) -> None:
    """A message that times out alone stops the slot with an error and is not dropped."""
    slow = (
        "CREATE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(9); RETURN NEW; END $$"
    )
    one = make_bench(
        THINGS, slow, "CREATE TRIGGER raise BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION raise()",
        postgres={"statement_timeout": 0.2},
    )  # fmt: skip

    with pytest.raises(Fatal) as raised:
        await one.settle(*rows(2))

    assert ("message_not_writable", True) == (raised.value.code, "57014" in raised.value.message)
    assert ([], []) == (one.read(ALL), one.dead_letters())


async def test_locked_table_is_retried(make_bench: MakeLine, module_database: str, batches: list[BatchWrite]) -> None:
    """While the table is locked exclusively, the batch is kept whole, and the error names the lock."""
    one = make_bench(THINGS, postgres={"statement_timeout": 0.4})
    await one.bind()
    with psycopg.connect(module_database) as other:
        other.execute("LOCK TABLE things IN ACCESS EXCLUSIVE MODE")
        writing = asyncio.create_task(one.settle(*rows(4)))
        await until(lambda: len(batches) >= 3)
        circuit = one.postgres.circuit_breaker.to_dict(time.monotonic())
    await writing

    assert ("open", "lock timeout" in circuit["reason"], circuit["attempts"]) == ("open", True, 2)
    assert ({4}, 4) == (set(batch_sizes(batches)), len(one.read(ALL)))


async def test_read_only_server_is_retried_on_new_connections(make_bench: MakeLine, module_database: str) -> None:
    """A server that became read-only is disconnected, because another host may be the primary."""
    one = make_bench(THINGS)
    await one.settle(*rows(1))
    name = module_database.rpartition("/")[2]
    with psycopg.connect(module_database, autocommit=True) as other:
        other.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        pid = (await one.postgres.connection()).info.backend_pid
        other.execute("SELECT pg_terminate_backend(%s)", (pid,))
        writing = asyncio.create_task(one.settle({"n": 1}))
        await until(lambda: one.postgres.reconnects >= 5)
        other.execute("SET default_transaction_read_only = off")
        other.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await writing

    assert [(0,), (1,)] == one.read(ALL)
    assert any("read-only transaction" in str(said) for said in one.outages)


async def test_too_many_connections_is_retried(make_bench: MakeLine, module_database: str, servers: Addresses) -> None:
    """A server without a free connection is retried."""
    role = f"role_{uuid.uuid4().hex[:8]}"
    one = make_bench(THINGS, f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1", f"GRANT ALL ON SCHEMA public TO {role}",
               f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}", postgres={"user": role})  # fmt: skip
    await one.bind()
    await one.postgres.close()
    with psycopg.connect(module_database, user=role, autocommit=True) as other:
        writing = asyncio.create_task(one.settle(*rows(2)))
        await until(lambda: any("too many connections" in str(said) for said in one.outages))
        assert one.postgres.circuit_breaker.is_open
        other.execute("SELECT 1")
    await writing
    await one.postgres.close()
    with psycopg.connect(module_database, autocommit=True) as other:
        other.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")

    assert [(0,), (1,)] == one.read(ALL)


async def test_temporary_file_limit_halves_the_batch(make_bench: MakeLine, batches: list[BatchWrite]) -> None:
    """A staged batch whose sort exceeds `temp_file_limit` is written in smaller pieces."""
    one = make_bench(
        "CREATE TABLE things (n int PRIMARY KEY, v text)", "INSERT INTO things VALUES (0, 'old')",
        on_conflict="replace", postgres={"runtime_params": {"temp_file_limit": "400kB", "work_mem": "64kB"}},
    )  # fmt: skip

    await one.settle(*({"n": n, "v": "x" * 1000} for n in range(1000)))

    assert (1000, []) == (len(one.read(ALL)), one.dead_letters())
    assert max(batch_sizes(batches)[2:]) < 1000


async def test_deadlock_is_retried(make_bench: MakeLine, module_database: str) -> None:
    """The victim of a deadlock writes its whole batch after the other transaction."""
    one = make_bench(
        THINGS, *row_trigger("PERFORM pg_advisory_xact_lock(1); PERFORM pg_advisory_xact_lock(2)"),
        postgres={"runtime_params": {"deadlock_timeout": "50ms"}},
    )  # fmt: skip
    await one.bind()
    async with await psycopg.AsyncConnection.connect(module_database) as other:
        await other.execute("SET LOCAL deadlock_timeout = '60s'")
        await other.execute("SELECT pg_advisory_xact_lock(2)")
        writing = asyncio.create_task(one.settle(*rows(2)))
        await until(lambda: one.read("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))
        await other.execute("SELECT pg_advisory_xact_lock(1)")
        await other.commit()
    await writing

    assert ([(0,), (1,)], []) == (one.read(ALL), one.dead_letters())
    assert "deadlock detected" in str(one.outages[0])


# What blames nobody's row


async def test_rejected_runtime_parameter_stops_the_slot(
    make_bench: MakeLine, module_database: str, batches: list[BatchWrite]
) -> None:
    """A rejected value in `runtime_params` stops the slot without dead letters, although its class is about data."""
    role = f"role_{uuid.uuid4().hex[:8]}"
    one = make_bench(THINGS, f"CREATE ROLE {role}", f"GRANT ALL ON SCHEMA public TO {role}",
               f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
               postgres={"runtime_params": {"role": role}})  # fmt: skip
    await one.bind()
    with psycopg.connect(module_database, autocommit=True) as other:
        other.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")

    with pytest.raises(Fatal, match=r"role .* does not exist.*22023"):
        await one.settle(*rows(3))

    assert ([3], [], []) == (batch_sizes(batches), one.read(ALL), one.dead_letters())


@pytest.mark.parametrize(
    ("params", "at_server", "meant"),
    [({}, "off", "on"), ({}, "remote_apply", "remote_apply"), ({"synchronous_commit": "local"}, "off", "local")],
)
async def test_commit_is_synchronous_unless_configured(
    make_bench: MakeLine, params: dict[str, str], at_server: str, meant: str
) -> None:
    """A commit waits for the disk even if the server's default does not, unless the configuration says otherwise."""
    say = "NEW.v := current_setting('synchronous_commit')"
    one = make_bench(THINGS, *row_trigger(say), postgres={"runtime_params": params})
    conn = await one.postgres.connection()
    await conn.execute(f"SET synchronous_commit = {at_server}")

    await one.settle({"n": 1, "v": "x"})

    assert [(meant,)] == one.read("SELECT v FROM things")


async def test_constraint_on_the_ledger_stops_the_slot(make_bench: MakeLine, batches: list[BatchWrite]) -> None:
    """A violated constraint on the ledger stops the slot without dead letters."""
    one = make_bench(THINGS, "ALTER TABLE eventwriter_ledger ADD CHECK (isempty(committed))")

    with pytest.raises(Fatal) as raised:
        await one.settle(*rows(3))

    assert ("rows_rejected", True) == (raised.value.code, "23514" in raised.value.message)
    assert ([3], [], []) == (batch_sizes(batches), one.read(ALL), one.dead_letters())


async def test_ledger_row_that_is_not_updated_stops_the_slot(make_bench: MakeLine) -> None:
    """A ledger row that is silently not updated stops the slot instead of causing endless retries."""
    one = make_bench(
        THINGS,
        "CREATE FUNCTION not_reading() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        "CREATE TRIGGER not_reading BEFORE UPDATE ON eventwriter_ledger FOR EACH ROW EXECUTE FUNCTION not_reading()",
    )

    with pytest.raises(Fatal) as raised:
        await one.settle(*rows(3))

    assert ("ledger_not_updated", []) == (raised.value.code, one.read(ALL))


async def test_rejected_dead_letter_stops_the_slot(make_bench: MakeLine) -> None:
    """If the dead letter itself is rejected, the slot stops with an error that names the table."""
    one = make_bench(THINGS, "ALTER TABLE eventwriter_dead_letters ADD CHECK (reason <> 'malformed')")

    with pytest.raises(Fatal) as raised:
        await one.settle({"n": 1}, b"garbage")

    assert ("dead_letters_rejected", []) == (raised.value.code, one.read(ALL))
    assert "eventwriter_dead_letters" in (raised.value.hint or "")


# Tables that are changed meanwhile

CHANGES = {
    "column added": ("ALTER TABLE things ADD COLUMN w int", Rebind),
    "column dropped": ("ALTER TABLE things DROP COLUMN v", Rebind),
    "type changed, of the same width": ("ALTER TABLE things ALTER COLUMN n TYPE real", Rebind),
    "type changed, of another width": ("ALTER TABLE things ALTER COLUMN n TYPE bigint", Rebind),
    "must be filled": (
        "ALTER TABLE things ADD COLUMN w int NOT NULL DEFAULT 0; ALTER TABLE things ALTER w DROP DEFAULT", Rebind,
    ),
    "renamed away": ("ALTER TABLE things RENAME TO others", Fatal),
    "swapped": ("ALTER TABLE things RENAME TO others; CREATE TABLE things (n real, v text)", Rebind),
    "privilege revoked": ("REVOKE INSERT ON things FROM postgres", None),
    "index": ("CREATE INDEX ON things (n)", None),
    "statistics": ("ALTER TABLE things ALTER COLUMN n SET STATISTICS 10", None),
    "vacuum": ("VACUUM FULL things; VACUUM FREEZE pg_attribute", None),
}  # fmt: skip


@pytest.mark.parametrize(("change", "ends"), CHANGES.values(), ids=CHANGES)
async def test_table_changed_during_a_session_is_detected(
    make_bench: MakeLine, module_database: str, change: str, ends: type[Exception] | None
) -> None:
    """The next batch is not written by outdated encoders; a change without effect stops nothing."""
    one = make_bench(THINGS)
    async with one.postgres.transaction() as conn:
        found = await find_tables(conn, one.stream, kind("json"))
    one.postgres.on_connect = recheck(found)
    await one.settle({"n": 7, "v": "x"})
    with psycopg.connect(module_database, autocommit=True) as other:
        for statement in change.split(";"):
            other.execute(statement)  # type: ignore[call-overload]

    if ends is None:
        await one.settle({"n": 8, "v": "x"})
        assert [(7,), (8,)] == one.read(ALL)
    else:
        with pytest.raises(ends, match=r"has changed|table things does not exist in the search path"):
            await one.settle({"n": 8, "v": "x"})
        assert 1 == sum(len(one.read(f"SELECT * FROM {name}")) for name in ("things", "others") if _is(one, name))
    assert [] == one.dead_letters()


def _is(one: Bench, name: str) -> bool:
    return one.read(f"SELECT to_regclass('{name}') IS NOT NULL") == [(True,)]
