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
    """Return a code for each row of the table that has one of these verdicts."""
    return [key if len(key) == 5 else f"{key}ZZZ" for key, verdict in VERDICTS.items() if verdict in verdicts]


def raising(code: str, when: str) -> tuple[str, ...]:
    """Return SQL for a trigger that raises a code for rows of `things` of which `when` is true."""
    act = f"IF {when} THEN RAISE EXCEPTION 'no such luck' USING ERRCODE = '{code}'; END IF"
    return ("CREATE SEQUENCE times", *doing(act))  # what a sequence counts is not rolled back


def doing(act: str) -> tuple[str, ...]:
    """Return SQL for a trigger that does something for each row of `things`."""
    return (
        f"CREATE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {act}; RETURN NEW; END $$",
        "CREATE TRIGGER raise BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION raise()",
    )


@pytest.fixture(scope="module")
def ground(servers: Addresses) -> Iterator[str]:
    """A database for all tests of this module."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(servers.postgres_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
    yield servers.database_url(name)
    with psycopg.connect(servers.postgres_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


MakeLine = Callable[..., Bench]


@pytest.fixture
async def line(ground: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MakeLine]:
    """The maker of a bench over an empty schema, which rests for a moment only between attempts."""
    monkeypatch.setattr(retry, "pause_s", lambda attempt, share: SHORT_S)
    made: list[Bench] = []

    def make(*sql: str, postgres: dict[str, Any] | None = None, **entry: Any) -> Bench:
        with psycopg.connect(ground, autocommit=True) as conn:
            conn.execute("DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public")
        one = Bench(ground, **{"tables": ("things",), **entry}).create_tables(*sql)
        one.postgres = PostgresSession(PostgresSettings.model_validate({"dsn": ground, **(postgres or {})}))
        made.append(one)
        return one

    yield make
    for one in made:
        await one.postgres.close()


async def until(probe: Callable[[], object]) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(20):
        while not probe():  # noqa: ASYNC110  # a server's state
            await asyncio.sleep(0.01)


def sizes(batches: list[BatchWrite]) -> list[int]:
    """Return how many messages each attempted batch covers."""
    return [sum(high - low for low, high in batch.covered) for batch in batches]


def rows(count: int, **special: str) -> list[dict[str, Any]]:
    """Return payloads; `n3="bad"` gives the third one that text."""
    return [{"n": n, "v": special.get(f"n{n}", "good")} for n in range(count)]


@pytest.mark.parametrize("code", codes(Verdict.RETRY, Verdict.AGAIN))
async def test_state_of_the_server_is_waited_for(line: MakeLine, code: str) -> None:
    """However often it comes, the batch is kept whole and written once it does not come any more."""
    one = line(THINGS, *raising(code, "nextval('times') <= 8"))

    settled = await one.settle(*rows(3))

    assert [(0,), (1,), (2,)] == one.read(ALL)
    assert ([Outcome.WRITTEN] * 3, 8, []) == (settled.outcomes, one.counters.retries_total, one.dead_letters())
    assert ("no such luck" in str(one.outages[0]), None) == (True, one.outages[-1])
    assert not one.postgres.circuit_breaker.is_open


@pytest.mark.parametrize("code", codes(Verdict.BISECT, Verdict.DUPLICATE))
async def test_value_that_is_refused_is_found(line: MakeLine, code: str) -> None:
    """The guilty messages become dead letters with the server's own code and words; their neighbours are written."""
    one = line(THINGS, *raising(code, "NEW.v = 'bad'"), on_conflict="append")

    settled = await one.settle(*rows(8, n2="bad", n3="bad", n7="bad"))

    assert [(0,), (1,), (4,), (5,), (6,)] == one.read(ALL)
    assert [(seq, "rejected", code) for seq in (3, 4, 8)] == one.dead_letters()
    details = one.read("SELECT DISTINCT detail FROM eventwriter_dead_letters")
    assert [("no such luck [PL/pgSQL function raise() line 1 at RAISE]",)] == details
    assert (3, 5) == (settled.count(Outcome.DEAD), settled.count(Outcome.WRITTEN))


@pytest.mark.parametrize("code", codes(Verdict.HALVE))
async def test_what_is_too_much_is_halved(line: MakeLine, code: str, batches: list[BatchWrite]) -> None:
    """Pieces become smaller until the server takes them, and the next batch begins with what it took."""
    one = line(
        THINGS,
        "CREATE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF (SELECT count(*) FROM fresh) > 3"
        f" THEN RAISE EXCEPTION 'too much' USING ERRCODE = '{code}'; END IF; RETURN NULL; END $$",
        "CREATE TRIGGER raise AFTER INSERT ON things REFERENCING NEW TABLE AS fresh"
        " FOR EACH STATEMENT EXECUTE FUNCTION raise()",
    )

    await one.settle(*rows(8))
    first = sizes(batches)
    batches.clear()
    await one.settle(*rows(8))

    assert ([8, 4, 2, 2, 4, 2, 2], [2, 2, 2, 2]) == (first, sizes(batches))
    assert ([(n,) for n in sorted([*range(8), *range(8)])], []) == (one.read(ALL), one.dead_letters())


@pytest.mark.parametrize("code", codes(Verdict.PARK))
async def test_operator_error_blames_no_message(line: MakeLine, code: str, batches: list[BatchWrite]) -> None:
    """The slot is parked with the server's words at the first refusal; nothing is written, nothing becomes a letter."""
    one = line(THINGS, *raising(code, "NEW.v = 'bad'"))

    with pytest.raises(Fatal, match=f"no such luck.*{code}"):
        await one.settle(*rows(8, n3="bad"))

    assert ([8], [], []) == (sizes(batches), one.read(ALL), one.dead_letters())


@pytest.mark.parametrize("code", [*codes(Verdict.UNKNOWN), "ZZ123"])
async def test_what_nobody_knows_is_tried_a_few_times(line: MakeLine, code: str) -> None:
    """It may pass; where it does not, the slot is parked, and nothing is dropped."""
    one = line(THINGS, *raising(code, "nextval('times') <= 5 OR NEW.v = 'bad'"))

    await one.settle(*rows(3))
    assert ([(0,), (1,), (2,)], 5) == (one.read(ALL), one.counters.retries_total)
    with pytest.raises(Fatal, match=f"no such luck.*{code}"):
        await one.settle(*rows(3, n1="bad"))

    assert (3, 10, []) == (len(one.read(ALL)), one.counters.retries_total, one.dead_letters())


def test_every_class_of_the_manual_is_in_the_table() -> None:
    """No class of appendix A is left to chance."""
    manual = (
        "00 01 02 03 08 09 0A 0B 0F 0L 0P 0Z 10 20 21 22 23 24 25 26 27 28 2B 2D 2F 34 38 39 3B 3D 3F 40 42 44"
        " 53 54 55 57 58 72 F0 HV P0 XX"
    )

    assert [] == [name for name in manual.split() if name not in VERDICTS]


# For real


async def test_statement_timeout(line: MakeLine, batches: list[BatchWrite]) -> None:
    """A COPY that takes too long is tried with half."""
    slow = (
        "CREATE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END $$"
    )
    one = line(
        THINGS, slow, "CREATE TRIGGER raise BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION raise()",
        postgres={"statement_timeout": 0.5},
    )  # fmt: skip

    await one.settle(*rows(4))

    assert ([4, 2, 2], 4, []) == (sizes(batches), len(one.read(ALL)), one.dead_letters())


async def test_single_message_that_takes_too_long_parks(line: MakeLine) -> None:
    """A message that alone takes longer than a statement may is said, and not dropped."""
    slow = (
        "CREATE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(9); RETURN NEW; END $$"
    )
    one = line(
        THINGS, slow, "CREATE TRIGGER raise BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION raise()",
        postgres={"statement_timeout": 0.2},
    )  # fmt: skip

    with pytest.raises(Fatal) as raised:
        await one.settle(*rows(2))

    assert ("message_not_writable", True) == (raised.value.code, "57014" in raised.value.message)
    assert ([], []) == (one.read(ALL), one.dead_letters())


async def test_lock_that_is_held_is_an_outage(line: MakeLine, ground: str, batches: list[BatchWrite]) -> None:
    """While the table is locked exclusively the batch is kept whole, and the lock is named."""
    one = line(THINGS, postgres={"statement_timeout": 0.4})
    await one.bind()
    with psycopg.connect(ground) as other:
        other.execute("LOCK TABLE things IN ACCESS EXCLUSIVE MODE")
        writing = asyncio.create_task(one.settle(*rows(4)))
        await until(lambda: len(batches) >= 3)
        circuit = one.postgres.circuit_breaker.to_dict(time.monotonic())
    await writing

    assert ("open", "lock timeout" in circuit["reason"], circuit["attempts"]) == ("open", True, 2)
    assert ({4}, 4) == (set(sizes(batches)), len(one.read(ALL)))


async def test_read_only_server_is_waited_for_on_new_connections(line: MakeLine, ground: str) -> None:
    """A server that turned read-only is left, as another of its hosts may be the primary; then work goes on."""
    one = line(THINGS)
    await one.settle(*rows(1))
    name = ground.rpartition("/")[2]
    with psycopg.connect(ground, autocommit=True) as other:
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


async def test_too_many_connections(line: MakeLine, ground: str, servers: Addresses) -> None:
    """A server that has no connection left is waited for."""
    role = f"role_{uuid.uuid4().hex[:8]}"
    one = line(THINGS, f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1", f"GRANT ALL ON SCHEMA public TO {role}",
               f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}", postgres={"user": role})  # fmt: skip
    await one.bind()
    await one.postgres.close()
    with psycopg.connect(ground, user=role, autocommit=True) as other:
        writing = asyncio.create_task(one.settle(*rows(2)))
        await until(lambda: any("too many connections" in str(said) for said in one.outages))
        assert one.postgres.circuit_breaker.is_open
        other.execute("SELECT 1")
    await writing
    await one.postgres.close()
    with psycopg.connect(ground, autocommit=True) as other:
        other.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")

    assert [(0,), (1,)] == one.read(ALL)


async def test_temporary_files_beyond_their_limit(line: MakeLine, batches: list[BatchWrite]) -> None:
    """A staged batch whose sort is beyond `temp_file_limit` goes through in smaller pieces."""
    one = line(
        "CREATE TABLE things (n int PRIMARY KEY, v text)", "INSERT INTO things VALUES (0, 'old')",
        on_conflict="replace", postgres={"runtime_params": {"temp_file_limit": "400kB", "work_mem": "64kB"}},
    )  # fmt: skip

    await one.settle(*({"n": n, "v": "x" * 1000} for n in range(1000)))

    assert (1000, []) == (len(one.read(ALL)), one.dead_letters())
    assert max(sizes(batches)[2:]) < 1000


async def test_deadlock_is_tried_again(line: MakeLine, ground: str) -> None:
    """The victim of a deadlock writes its batch whole once the other one is done."""
    one = line(
        THINGS, *doing("PERFORM pg_advisory_xact_lock(1); PERFORM pg_advisory_xact_lock(2)"),
        postgres={"runtime_params": {"deadlock_timeout": "50ms"}},
    )  # fmt: skip
    await one.bind()
    async with await psycopg.AsyncConnection.connect(ground) as other:
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


async def test_parameter_that_is_refused_is_no_messages_fault(
    line: MakeLine, ground: str, batches: list[BatchWrite]
) -> None:
    """A value of `runtime_params` that the server takes no longer parks the slot, though its class speaks of data."""
    role = f"role_{uuid.uuid4().hex[:8]}"
    one = line(THINGS, f"CREATE ROLE {role}", f"GRANT ALL ON SCHEMA public TO {role}",
               f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
               postgres={"runtime_params": {"role": role}})  # fmt: skip
    await one.bind()
    with psycopg.connect(ground, autocommit=True) as other:
        other.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")

    with pytest.raises(Fatal, match=r"role .* does not exist.*22023"):
        await one.settle(*rows(3))

    assert ([3], [], []) == (sizes(batches), one.read(ALL), one.dead_letters())


@pytest.mark.parametrize(
    ("params", "at_server", "meant"),
    [({}, "off", "on"), ({}, "remote_apply", "remote_apply"), ({"synchronous_commit": "local"}, "off", "local")],
)
async def test_commit_outlives_a_crash(line: MakeLine, params: dict[str, str], at_server: str, meant: str) -> None:
    """A server that does not wait for its disk does so for us, unless the configuration says otherwise."""
    say = "NEW.v := current_setting('synchronous_commit')"
    one = line(THINGS, *doing(say), postgres={"runtime_params": params})
    conn = await one.postgres.connection()
    await conn.execute(f"SET synchronous_commit = {at_server}")

    await one.settle({"n": 1, "v": "x"})

    assert [(meant,)] == one.read("SELECT v FROM things")


async def test_ledger_that_refuses_is_no_messages_fault(line: MakeLine, batches: list[BatchWrite]) -> None:
    """A constraint on the ledger parks the slot; no dead letter is made."""
    one = line(THINGS, "ALTER TABLE eventwriter_ledger ADD CHECK (isempty(committed))")

    with pytest.raises(Fatal) as raised:
        await one.settle(*rows(3))

    assert ("rows_rejected", True) == (raised.value.code, "23514" in raised.value.message)
    assert ([3], [], []) == (sizes(batches), one.read(ALL), one.dead_letters())


async def test_ledger_that_keeps_silent_is_no_endless_loop(line: MakeLine) -> None:
    """A ledger whose row cannot be updated, without an error, parks the slot."""
    one = line(
        THINGS,
        "CREATE FUNCTION not_reading() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        "CREATE TRIGGER not_reading BEFORE UPDATE ON eventwriter_ledger FOR EACH ROW EXECUTE FUNCTION not_reading()",
    )

    with pytest.raises(Fatal) as raised:
        await one.settle(*rows(3))

    assert ("ledger_not_updated", []) == (raised.value.code, one.read(ALL))


async def test_dead_letters_that_are_refused_park(line: MakeLine) -> None:
    """Where not even the dead letter can be written the slot is parked, and names the table."""
    one = line(THINGS, "ALTER TABLE eventwriter_dead_letters ADD CHECK (reason <> 'malformed')")

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
async def test_change_under_a_standing_connection_is_noticed(
    line: MakeLine, ground: str, change: str, ends: type[Exception] | None
) -> None:
    """The next batch writes nothing by encoders that no longer fit; what does not matter stops nothing."""
    one = line(THINGS)
    async with one.postgres.transaction() as conn:
        found = await find_tables(conn, one.stream, kind("json"))
    one.postgres.on_connect = recheck(found)
    await one.settle({"n": 7, "v": "x"})
    with psycopg.connect(ground, autocommit=True) as other:
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
