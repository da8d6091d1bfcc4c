"""Every verb of `eventwriter-ctl` with a daemon on real servers."""

import asyncio
import json
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from fix_ctl import SECRET, Site
from fix_run import COMMANDS, clean, command

from eventwriter.control.client import Client
from eventwriter.demo.servers import EmbeddedServers
from eventwriter.worker.tap import LEASE_S, SAMPLES_MAX

ENTRIES: list[dict[str, Any]] = [
    {"name": "TELEMETRY", "subjects": ["telemetry.>"], "batch_timeout": 50, "dead_letter_share_max": 1.0},
    {"name": "SHARED", "subjects": ["shared.>"], "kind": "telemetry", "partitions": 2, "partition_mode": "shared",
     "batch_timeout": 50},
]  # fmt: skip


@pytest.fixture(scope="module")
def site(ctl_servers: EmbeddedServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A daemon with two entries, shared by all tests of this module; each test leaves it healthy."""
    made = Site(tmp_path_factory.mktemp("ctl"), ctl_servers, ENTRIES)
    made.run.start()
    made.healthy()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def restored(site: Site) -> Iterator[None]:
    """Resumes paused slots and resets the number of workers after each test."""
    yield
    site.ctl("resume", "all")
    site.ctl("scale", "SHARED", "2")
    site.healthy()


def test_paused_worker_settles_and_stops_pulling(site: Site) -> None:
    """A pause settles open batches and keeps worker, connections and consumer; a resume continues."""
    site.publish("telemetry.a", 2000)
    before = site.slots()["TELEMETRY/0"]
    paused = site.ctl("pause", "TELEMETRY", "--wait")
    written = site.counts()
    site.publish("telemetry.a", 300)
    status = site.run.until(lambda s: site.run.slot(s, "TELEMETRY")["num_pending"] == 300, "pending")
    slot = site.run.slot(status, "TELEMETRY")

    assert 0 == paused.returncode
    assert written == site.counts()
    assert (before["pid"], "paused", "degraded") == (slot["pid"], slot["worker_state"], slot["health"])
    assert "`eventwriter-ctl resume TELEMETRY/0`" in slot["reason"]
    assert (True, True, 0) == (slot["nats_connected"], slot["postgres_connected"], slot["held_messages"])
    assert 1 == site.ctl("status").returncode

    assert 0 == site.ctl("resume", "TELEMETRY", "--wait").returncode
    assert (site.published, site.published, 0) == site.settled_counts()
    assert before["pid"] == site.slots()["TELEMETRY/0"]["pid"]


def test_pause_survives_a_crash_but_not_a_restart(site: Site) -> None:
    """The replacement of a killed paused worker is paused, too; a requested restart ends the pause."""
    site.ctl("pause", "SHARED/1", "--wait")
    os.kill(site.pids()["SHARED/1"], signal.SIGKILL)
    again = site.run.until(
        lambda s: any(x["name"] == "SHARED/1" and x["restarts"] and x["worker_state"] == "paused" for x in s["slots"]),
        "paused again",
    )
    restarted = site.ctl("restart", "SHARED/1", "--wait")

    assert "degraded" == again["status"]
    assert 0 == restarted.returncode, restarted.stderr
    assert "running" == site.slots()["SHARED/1"]["worker_state"]


def test_resume_of_a_running_slot_changes_nothing(site: Site) -> None:
    """A resume can be repeated: without a paused or drained slot it succeeds and resumes nothing."""
    done, plain = site.ctl("resume", "TELEMETRY"), site.ctl("resume", "TELEMETRY", "--json")

    assert (0, "") == (done.returncode, done.stderr)
    assert {"resuming": []} == json.loads(plain.stdout)


def test_drained_slot_is_resumed(site: Site) -> None:
    """A drain stops the worker; a resume starts another one, which writes the messages published in between."""
    drained = site.ctl("drain", "TELEMETRY", "--wait")
    site.publish("telemetry.a", 50)
    stopped = site.slots()["TELEMETRY/0"]
    resumed = site.ctl("resume", "TELEMETRY", "--wait")

    assert (0, "stopped", None, 0) == (drained.returncode, stopped["state"], stopped["pid"], resumed.returncode)
    assert site.published == sum(site.settled_counts()[::2])


async def ack_pending(site: Site) -> int:
    """Return the number of delivered messages of the shared durable that are not acknowledged."""
    client = await nats.connect(site.servers.nats_url)
    info = await client.jetstream().consumer_info(site.stream, f"{site.stream}-shared")
    await client.close()
    return info.num_ack_pending or 0


@pytest.mark.parametrize("verb", ["pause", "drain"])
def test_stopped_pulling_leaves_no_message_in_flight(site: Site, verb: str) -> None:
    """A pause or drain during a backlog settles or returns all messages in flight; none has to time out."""
    site.ctl("pause", "SHARED", "--wait")
    site.publish("shared.a", 25_000)
    client = Client(site.run.socket)
    client.call("resume", slot="SHARED")
    time.sleep(0.1)
    client.call(verb, slot="SHARED")
    client.close()
    done = site.ctl(verb, "SHARED", "--wait")
    in_flight = asyncio.run(ack_pending(site))

    assert (0, 0) == (done.returncode, in_flight)
    site.ctl("resume", "SHARED", "--wait")
    rows, distinct, dead = site.settled_counts()
    assert (site.published, rows) == (rows + dead, distinct)


def test_scale_changes_only_shared_durables(site: Site) -> None:
    """Scaling a shared durable up and down keeps the other workers, and loses and duplicates nothing."""
    before = site.pids()
    more = site.ctl("scale", "SHARED", "4", "--wait")
    grown = site.pids()
    site.publish("shared.a", 3000)
    fewer = site.ctl("scale", "SHARED", "2", "--wait")
    rows, distinct, dead = site.settled_counts()

    assert (0, 0) == (more.returncode, fewer.returncode)
    assert set(grown) - set(before) == {"SHARED/2", "SHARED/3"}
    assert before == {name: grown[name] for name in before}
    assert (site.published, rows) == (rows + dead, distinct)
    site.run.until(lambda s: len(s["slots"]) == 3, "scaled down")
    assert before == site.pids()
    assert "rebinding" not in site.run.log()
    assert "changed by another client" not in site.run.log()


def test_scale_of_an_exclusive_entry_is_refused(site: Site) -> None:
    """An entry with exclusive partitions cannot be scaled; the hint names the key."""
    done = site.ctl("scale", "TELEMETRY", "2")

    assert 2 == done.returncode
    assert "partition_mode" in done.stderr
    assert 3 == len(site.slots())


def test_log_level_of_one_slot_shows_its_batches(site: Site) -> None:
    """At level debug a slot logs each batch, other slots do not; level info ends it."""
    site.ctl("log-level", "debug", "TELEMETRY")
    start = len(site.run.log())
    site.publish("telemetry.a", 20)
    site.publish("shared.a", 20)
    site.settled_counts()
    site.ctl("log-level", "info")
    lines = [json.loads(line) for line in site.run.log()[start:].splitlines()]
    batches = [line for line in lines if line["event"] == "batch written"]

    assert {"TELEMETRY/0"} == {line["slot"] for line in batches}
    assert 20 == sum(line["rows"] for line in batches)
    assert {"time", "level", "slot", "event", "messages", "rows", "last_seq", "trigger"} == set(batches[0])
    start = len(site.run.log())
    site.publish("telemetry.a", 20)
    site.settled_counts()
    assert "batch written" not in site.run.log()[start:]


def sample(n: int) -> bytes:
    """Return the payload of sample `n`, with a secret."""
    return json.dumps({"value": n, "metadata": {"n": n, "community": f"{SECRET}-snmp"}}).encode()


def tap(site: Site, *arguments: str, subject: str = "telemetry.tap", body: Any = sample) -> list[dict[str, Any]]:
    """Run `tap` while messages are published, and return the samples."""
    ctl = [str(COMMANDS / "eventwriter-ctl"), "--socket", site.run.socket]
    with subprocess.Popen(
        [*ctl, "tap", *arguments, "--json", "--seconds", "10"], stdout=subprocess.PIPE, text=True, env=clean()
    ) as watcher:
        while watcher.poll() is None:
            site.publish(subject, 20, body)
            time.sleep(0.2)
        assert watcher.stdout is not None
        return [json.loads(line) for line in watcher.stdout.read().splitlines()]


def test_tap_of_messages_is_redacted(site: Site) -> None:
    """Samples are the received messages without the keys in `redact`."""
    found = tap(site, "TELEMETRY", "--limit", "3")

    assert 3 == len(found)
    assert {("TELEMETRY/0", "telemetry.tap", 1)} == {(s["slot"], s["subject"], s["num_delivered"]) for s in found}
    assert [["value", "metadata"]] * 3 == [list(json.loads(s["payload"])) for s in found]
    assert SECRET not in json.dumps(found)


def test_tap_of_rows_shows_table_and_columns(site: Site) -> None:
    """At stage row a sample contains table and columns as written to the database."""
    (found,) = tap(site, "SHARED", "--stage", "row", "--limit", "1", subject="shared.tap")
    ((row,), n) = found["rows"], found["rows"][0]["columns"]["value"]

    assert ("timeseries_metrics", {"n": n}) == (row["table"], row["columns"]["metadata"])
    assert site.settled_counts()[0] > 0


def test_tap_of_dead_letters_has_reasons(site: Site) -> None:
    """At stage dead only dead letters are shown, with their reasons."""
    found = tap(site, "TELEMETRY", "--stage", "dead", "--limit", "2", body=lambda n: b"garbage" if n % 5 else sample(n))

    assert [("malformed", "garbage")] * 2 == [(s["reason"], s["payload"]) for s in found]


@pytest.mark.parametrize(("pattern", "subject"), [("*.hit", "telemetry.hit"), (f"{SECRET}-snmp", "telemetry.hit")])
def test_tap_filters_by_subject_or_text(site: Site, pattern: str, subject: str) -> None:
    """A filter is a subject pattern or a text in the payload."""
    site.publish("telemetry.miss", 50)
    found = tap(site, "TELEMETRY", "--limit", "2", "--filter", pattern, subject=subject)

    assert [subject] * 2 == [s["subject"] for s in found]


def test_unread_tap_does_not_block_writing(site: Site) -> None:
    """A tap that is not read keeps a bounded number of samples until its lease ends; all messages are written."""
    client = Client(site.run.socket)
    client.call("tap", slot="TELEMETRY", tap="forgotten", per_s=100)
    for _ in range(30):
        site.publish("telemetry.a", 200)
    rows, _, dead = site.settled_counts()
    fetched = client.call("tap", slot="TELEMETRY", tap="forgotten", per_s=100)
    time.sleep(LEASE_S + 1)
    late = client.call("tap", slot="TELEMETRY", tap="forgotten", per_s=100)
    client.close()

    assert site.published == rows + dead
    assert 0 < len(fetched["samples"]) <= SAMPLES_MAX
    assert fetched["seen"] >= 6000 or fetched["seen"] == 0
    assert (0, []) == (late["seen"], late["samples"])


def test_stacks_show_threads_and_tasks(site: Site) -> None:
    """The stacks contain the threads and the waiting asyncio tasks of the worker."""
    done = site.ctl("stacks", "TELEMETRY/0")
    slot = site.reply("stacks", "TELEMETRY/0")["TELEMETRY/0"]

    assert 0 == done.returncode, done.stderr
    assert f"TELEMETRY/0 (pid {slot['pid']})" == done.stdout.splitlines()[0]
    assert "most recent call first" in slot["threads"]
    assert any("Pipeline._fill" in task for task in slot["tasks"])


def test_stacks_of_a_stopped_worker_report_the_timeout(site: Site) -> None:
    """A stopped worker cannot return its stacks; the command names it and exits with 1."""
    pid = site.pids()["TELEMETRY/0"]
    os.kill(pid, signal.SIGSTOP)
    try:
        done = site.ctl("stacks", "TELEMETRY/0")
    finally:
        os.kill(pid, signal.SIGCONT)

    assert 1 == done.returncode
    assert f"pid {pid}" in done.stdout.splitlines()[0]


def test_lag_is_zero_once_all_is_settled(site: Site) -> None:
    """Once all messages are settled, consumer and ledger are at the last message of the slot."""
    site.publish("telemetry.a", 500)
    site.settled_counts()
    site.healthy()
    done, slot = site.ctl("lag"), site.reply("lag", "TELEMETRY")["slots"]["TELEMETRY/0"]

    assert (slot["last_seq"],) * 3 == (slot["delivered_seq"], slot["ack_floor_seq"], slot["ledger_seq"])
    assert (0, 0, 0.0) == (slot["drift"], slot["lag_messages"], slot["catch_up_s"])
    assert 0 == done.returncode
    assert done.stdout.splitlines()[0].split() == [
        "slot",
        "last",
        "delivered",
        "ack",
        "floor",
        "ledger",
        "drift",
        "lag",
        "left",
    ]


def test_lag_grows_while_a_slot_is_paused(site: Site) -> None:
    """The messages that a paused slot does not pull are its lag; its ledger does not advance."""
    site.ctl("pause", "TELEMETRY", "--wait")
    before = site.reply("lag", "TELEMETRY")["slots"]["TELEMETRY/0"]
    site.publish("telemetry.a", 70)
    after = site.reply("lag", "TELEMETRY")["slots"]["TELEMETRY/0"]

    assert (0, 70) == (before["lag_messages"], after["lag_messages"])
    assert (before["ledger_seq"], before["last_seq"] + 70) == (after["ledger_seq"], after["last_seq"])


def test_streams_lists_the_slots_of_each_stream(site: Site) -> None:
    """A stream that several slots read is one block with a line for each slot."""
    text = site.ctl("streams").stdout

    assert 1 == text.count(f"{site.stream}  ")
    assert ["TELEMETRY/0", "SHARED/0", "SHARED/1"] == [
        line.split()[0] for line in text.splitlines() if line.startswith("  ") and "/" in line.split()[0]
    ]


def test_top_shows_the_load_of_each_stage(site: Site) -> None:
    """Each slot has the share of time spent in each stage, between 0 and 1."""
    slots = {slot["name"]: slot for slot in site.reply("top", "--count", "1", "--interval", "1")}

    assert set(site.slots()) == set(slots)
    stages = slots["TELEMETRY/0"]["stages"]
    assert ["pull", "decode", "encode", "wait", "copy", "commit", "ack"] == list(stages)
    assert all(0 <= share <= 1 for share in stages.values())
    assert stages["pull"] > 0.5


def test_stat_prints_one_line_per_interval(site: Site) -> None:
    """`stat` prints a header and one line per interval."""
    done = site.ctl("stat", "--count", "2", "--interval", "1")

    assert (0, 3) == (done.returncode, len(done.stdout.splitlines()))
    assert ["time", "msg/s", "rows/s"] == done.stdout.split()[:3]


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        ((), 0, "EVENTWRITER OK - 3 of 3 workers running | lag=0;;"),
        (("--warn-lag", "0"), 1, "EVENTWRITER WARNING - 0 messages are waiting (warning from 0)"),
        (("--crit-lag", "0"), 2, "EVENTWRITER CRITICAL - 0 messages are waiting (critical from 0)"),
    ],
)
def test_check_prints_a_plugin_line(site: Site, arguments: tuple[str, ...], code: int, line: str) -> None:
    """`check` prints one line in the format of monitoring plugins: status, reasons, performance data."""
    done = site.ctl("check", "--warn-dead", "1000000", *arguments)

    assert (code, 1) == (done.returncode, len(done.stdout.splitlines()))
    assert done.stdout.startswith(line)


def test_check_of_a_paused_slot_is_a_warning(site: Site) -> None:
    """A paused slot is a warning that names the slot."""
    site.ctl("pause", "TELEMETRY", "--wait")
    done = site.ctl("check", "--warn-dead", "1000000")

    assert 1 == done.returncode
    assert done.stdout.startswith("EVENTWRITER WARNING - ")
    assert "TELEMETRY/0" in done.stdout


def test_check_without_a_daemon_is_unknown(tmp_path: Path) -> None:
    """Without a daemon the status is UNKNOWN and the exit code 3."""
    done = command("eventwriter-ctl", "--socket", f"{tmp_path}/none", "check")

    assert 3 == done.returncode
    assert done.stdout.startswith("EVENTWRITER UNKNOWN - ")


@pytest.mark.parametrize("verb", ["status", "top", "lag", "streams", "stat", "check"])
def test_output_fits_80_columns_without_colours(site: Site, verb: str) -> None:
    """Output that is not a terminal has no escape sequences, and tables fit into 80 columns."""
    options = ("--count", "1") if verb in ("top", "stat") else ()
    text = site.ctl(verb, *options).stdout

    assert "\x1b" not in text
    if verb != "check":
        assert [] == [line for line in text.splitlines() if len(line) > 80]
        assert any(line.startswith("TELEMETRY/0") for line in text.splitlines()) or verb in ("streams", "stat")


def test_completion_offers_slots_and_streams(site: Site) -> None:
    """There is a completion script for each shell, and the daemon supplies the names."""
    scripts = [site.ctl("completion", shell) for shell in ("bash", "zsh", "fish")]
    words = f"eventwriter-ctl --socket {site.run.socket} pause S"
    completed = command(
        "eventwriter-ctl",
        environ={"_EVENTWRITER_CTL_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "4"},
    )

    assert [0, 0, 0] == [done.returncode for done in scripts]
    assert all("_EVENTWRITER_CTL_COMPLETE" in done.stdout for done in scripts)
    assert ["SHARED", "SHARED/0", "SHARED/1"] == [line.partition(",")[2] for line in completed.stdout.splitlines()]


def test_reload_replaces_only_affected_workers(site: Site) -> None:
    """`reload --diff` changes nothing; a reload replaces the affected worker and names keys that need a restart."""
    before = site.pids()
    entries = [{**ENTRIES[0], "batch_size": 77}, ENTRIES[1]]
    site.configure(streams=entries, control={"socket": site.run.socket, "mode": "0600"}, log={"format": "json"})
    diff = site.ctl("reload", "--diff")
    after_diff = site.pids()
    done = site.ctl("reload", "--wait")
    after = site.pids()
    second_diff = site.reply("reload", "--diff")
    site.configure(streams=ENTRIES, control={"socket": site.run.socket})
    assert 0 == site.ctl("reload", "--wait").returncode

    assert (0, before) == (diff.returncode, after_diff)
    for name in ("streams[TELEMETRY].batch_size", "TELEMETRY/0", "control.mode"):
        assert name in diff.stdout
    assert 0 == done.returncode
    assert {"TELEMETRY/0"} == {name for name in before if before[name] != after[name]}
    assert ["control.mode"] == second_diff["restart_needed"]


def test_changed_secret_is_reported_but_not_shown(site: Site) -> None:
    """`reload --diff` reports that a password changed without showing the old or the new one."""
    nats = site.config["nats"]
    site.configure(nats={"servers": [nats["servers"][0].replace("nats@", "other@")]})
    diff = site.ctl("reload", "--diff")
    site.configure(nats=nats)

    assert "nats.servers" in diff.stdout
    assert "(hidden)" in diff.stdout
    assert SECRET not in diff.stdout + diff.stderr


def test_invalid_file_is_refused_with_all_errors(site: Site) -> None:
    """An invalid file changes nothing, and all its errors are printed."""
    before, content = site.pids(), site.run.config.read_text()
    invalid = json.loads(content)
    invalid["streams"][0]["batch_size"] = 0
    site.run.config.write_text(json.dumps({**invalid, "nats": {"srvers": []}}))
    done = site.ctl("reload")
    site.run.config.write_text(content)

    assert 2 == done.returncode
    assert all(key in done.stderr for key in ("streams[0].batch_size", "'srvers' in nats"))
    assert before == site.pids()


def processes(site: Site) -> list[str]:
    """Return the command lines and names of the daemon and its workers, as `ps` shows them."""
    assert site.run.process is not None
    pids = [site.run.process.pid, *site.pids().values()]
    files = [Path(f"/proc/{pid}/{name}") for pid in pids for name in ("cmdline", "comm")]
    return [file.read_text().replace("\0", " ") for file in files]


def test_no_output_contains_a_secret(site: Site, tmp_path: Path) -> None:
    """Log, status, process titles and support bundle contain no secret of a login or a payload."""
    site.ctl("log-level", "debug")
    site.publish("telemetry.a", 100, sample)
    site.publish("telemetry.a", 10, lambda n: f'{{"community": "{SECRET}-snmp", broken {n}'.encode())
    os.kill(site.pids()["TELEMETRY/0"], signal.SIGKILL)
    site.settled_counts()
    site.ctl("log-level", "info")
    bundle = tmp_path / "dump.tar.gz"
    log = str(site.folder / "daemon.log")
    done = command(
        "eventwriter-ctl", "--socket", site.run.socket, "--config", str(site.run.config), "support-dump", str(bundle),
        "--log", log,
    )  # fmt: skip
    with tarfile.open(bundle) as tar:
        parts = {Path(part.name).name: tar.extractfile(part).read().decode() for part in tar}  # type: ignore[union-attr]

    assert 0o600 == bundle.stat().st_mode & 0o777
    assert {
        "versions.txt",
        "status.json",
        "config.json",
        "positions.json",
        "stacks.txt",
        "doctor.json",
        "log.txt",
    } == set(parts)
    assert all(len(text) > 100 for text in parts.values())
    shown = {**parts, "stdout": done.stdout, "stderr": done.stderr, "log": site.run.log()}
    shown |= {f"process {n}": text for n, text in enumerate(processes(site))}
    shown["status"] = json.dumps(site.run.status())
    assert [] == [name for name, text in shown.items() if SECRET in text]
    assert SECRET in site.run.config.read_text()
