"""Every verb of `eventwriter-ctl` against a real daemon on real servers."""

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
    """A daemon of two streams that all tests here share; each leaves it healthy."""
    made = Site(tmp_path_factory.mktemp("ctl"), ctl_servers, ENTRIES)
    made.run.start()
    made.healthy()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def well(site: Site) -> Iterator[None]:
    """Nothing is left paused, or with more workers, for the next test."""
    yield
    site.ctl("resume", "all")
    site.ctl("scale", "SHARED", "2")
    site.healthy()


def test_paused_worker_settles_and_pulls_nothing_more(site: Site) -> None:
    """A pause is over when what was open is settled; worker, connections and consumer stay, and a resume goes on."""
    site.publish("telemetry.a", 2000)
    before = site.slots()["TELEMETRY/0"]
    paused = site.ctl("pause", "TELEMETRY", "--wait")
    written = site.books()
    site.publish("telemetry.a", 300)
    status = site.run.until(lambda s: site.run.slot(s, "TELEMETRY")["num_pending"] == 300, "all waits")
    slot = site.run.slot(status, "TELEMETRY")

    assert (0, "pausing TELEMETRY/0") == (paused.returncode, paused.stdout.splitlines()[0])
    assert written == site.books()
    assert (before["pid"], "paused", "degraded") == (slot["pid"], slot["worker_state"], slot["health"])
    assert slot["reason"].startswith("paused by ")
    assert "`eventwriter-ctl resume TELEMETRY/0`" in slot["reason"]
    assert (True, True, 0) == (slot["nats_connected"], slot["postgres_connected"], slot["held_messages"])
    assert 1 == site.ctl("status").returncode

    assert 0 == site.ctl("resume", "TELEMETRY", "--wait").returncode
    assert (site.published, site.published, 0) == site.settled()
    assert before["pid"] == site.slots()["TELEMETRY/0"]["pid"]


def test_pause_outlives_the_worker_and_ends_with_a_restart(site: Site) -> None:
    """A paused worker that is killed is paused again; an operator's restart lets it run."""
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
    """A resume can be repeated: without a paused or drained slot it succeeds and says so."""
    done, plain = site.ctl("resume", "TELEMETRY"), site.ctl("resume", "TELEMETRY", "--json")

    assert (0, "") == (done.returncode, done.stderr)
    assert "nothing to resume" in done.stdout
    assert {"resuming": []} == json.loads(plain.stdout)


def test_drained_slot_is_resumed(site: Site) -> None:
    """A drain ends the worker; a resume starts another, and what was published meanwhile is written."""
    drained = site.ctl("drain", "TELEMETRY", "--wait")
    site.publish("telemetry.a", 50)
    stopped = site.slots()["TELEMETRY/0"]
    resumed = site.ctl("resume", "TELEMETRY", "--wait")

    assert (0, "stopped", None, 0) == (drained.returncode, stopped["state"], stopped["pid"], resumed.returncode)
    assert site.published == sum(site.settled()[::2])


async def out(site: Site) -> tuple[int, int]:
    """Return how many messages wait at JetStream, and for how many of the delivered ones it waits."""
    client = await nats.connect(site.servers.nats_url)
    info = await client.jetstream().consumer_info(site.stream, f"{site.stream}-shared")
    await client.close()
    return info.num_pending or 0, info.num_ack_pending or 0


@pytest.mark.parametrize("verb", ["pause", "drain"])
def test_what_rests_leaves_no_message_with_a_worker(site: Site, verb: str) -> None:
    """In the middle of a backlog a pause and a drain take in what is on its way: nothing has to time out."""
    site.ctl("pause", "SHARED", "--wait")
    site.publish("shared.a", 25_000)
    client = Client(site.run.socket)
    client.call("resume", slot="SHARED")
    time.sleep(0.1)
    client.call(verb, slot="SHARED")
    client.close()
    done = site.ctl(verb, "SHARED", "--wait")
    # A fast machine may have settled the whole backlog by then; what counts is that nothing is left with a worker.
    _, unanswered = asyncio.run(out(site))

    assert (0, 0) == (done.returncode, unanswered)
    site.ctl("resume", "SHARED", "--wait")
    rows, different, dead = site.settled()
    assert (site.published, rows) == (rows + dead, different)


def test_scale_changes_only_shared_durables(site: Site) -> None:
    """More workers on a shared durable, then fewer: the others keep their processes, and nothing is lost or doubled."""
    before = site.pids()
    more = site.ctl("scale", "SHARED", "4", "--wait")
    grown = site.pids()
    site.publish("shared.a", 3000)
    fewer = site.ctl("scale", "SHARED", "2", "--wait")
    rows, different, dead = site.settled()

    assert (0, 0) == (more.returncode, fewer.returncode)
    assert "SHARED has 4 workers; started: SHARED/2, SHARED/3" == more.stdout.splitlines()[0]
    assert set(grown) - set(before) == {"SHARED/2", "SHARED/3"}
    assert before == {name: grown[name] for name in before}
    assert (site.published, rows) == (rows + dead, different)
    site.run.until(lambda s: len(s["slots"]) == 3, "without the two")
    assert before == site.pids()
    assert "rebinding" not in site.run.log()
    assert "changed by another client" not in site.run.log()


def test_scale_of_exclusive_partitions_says_what_to_edit(site: Site) -> None:
    """A stream with one worker for its subjects keeps it, and the sentence names the keys."""
    done = site.ctl("scale", "TELEMETRY", "2")

    assert 2 == done.returncode
    assert "edit its entry (partition_mode = shared" in done.stderr
    assert 3 == len(site.slots())


def test_log_level_of_one_slot_shows_its_batches(site: Site) -> None:
    """At debug a slot has a line for each batch; the other slots have none, and info ends it."""
    site.ctl("log-level", "debug", "TELEMETRY")
    start = len(site.run.log())
    site.publish("telemetry.a", 20)
    site.publish("shared.a", 20)
    site.settled()
    site.ctl("log-level", "info")
    lines = [json.loads(line) for line in site.run.log()[start:].splitlines()]
    batches = [line for line in lines if line["event"] == "batch written"]

    assert {"TELEMETRY/0"} == {line["slot"] for line in batches}
    assert 20 == sum(line["rows"] for line in batches)
    assert {"time", "level", "slot", "event", "messages", "rows", "last_seq", "trigger"} == set(batches[0])
    start = len(site.run.log())
    site.publish("telemetry.a", 20)
    site.settled()
    assert "batch written" not in site.run.log()[start:]


def sample(n: int) -> bytes:
    return json.dumps({"value": n, "metadata": {"n": n, "community": f"{SECRET}-snmp"}}).encode()


def tapped(site: Site, *arguments: str, subject: str = "telemetry.tap", body: Any = sample) -> list[dict[str, Any]]:
    """Tap while messages are published; return the samples."""
    ctl = [str(COMMANDS / "eventwriter-ctl"), "--socket", site.run.socket]
    with subprocess.Popen(
        [*ctl, "tap", *arguments, "--json", "--seconds", "10"], stdout=subprocess.PIPE, text=True, env=clean()
    ) as watcher:
        while watcher.poll() is None:
            site.publish(subject, 20, body)
            time.sleep(0.2)
        assert watcher.stdout is not None
        return [json.loads(line) for line in watcher.stdout.read().splitlines()]


def test_tap_of_raw_messages_leaves_secrets_out(site: Site) -> None:
    """Samples are the messages as they came, without what `redact` names."""
    found = tapped(site, "TELEMETRY", "--limit", "3")

    assert 3 == len(found)
    assert {("TELEMETRY/0", "telemetry.tap", 1)} == {(s["slot"], s["subject"], s["num_delivered"]) for s in found}
    assert [["value", "metadata"]] * 3 == [list(json.loads(s["payload"])) for s in found]
    assert SECRET not in json.dumps(found)


def test_tap_of_rows_shows_what_was_committed(site: Site) -> None:
    """At stage row a sample has its table and columns, as they are in the database."""
    (found,) = tapped(site, "SHARED", "--stage", "row", "--limit", "1", subject="shared.tap")
    ((row,), n) = found["rows"], found["rows"][0]["columns"]["value"]

    assert ("timeseries_metrics", {"n": n}) == (row["table"], row["columns"]["metadata"])
    assert site.settled()[0] > 0


def test_tap_of_dead_letters_has_reasons(site: Site) -> None:
    """At stage dead only what could not become rows is shown, with the reason."""
    found = tapped(
        site, "TELEMETRY", "--stage", "dead", "--limit", "2", body=lambda n: b"garbage" if n % 5 else sample(n)
    )

    assert [("malformed", "garbage")] * 2 == [(s["reason"], s["payload"]) for s in found]


@pytest.mark.parametrize(("wanted", "subject"), [("*.hit", "telemetry.hit"), (f"{SECRET}-snmp", "telemetry.hit")])
def test_tap_filters_by_subject_or_text(site: Site, wanted: str, subject: str) -> None:
    """A filter is a pattern of subjects, or a text of payloads."""
    site.publish("telemetry.miss", 50)
    found = tapped(site, "TELEMETRY", "--limit", "2", "--filter", wanted, subject=subject)

    assert [subject] * 2 == [s["subject"] for s in found]


def test_tap_that_nobody_reads_holds_nothing_up(site: Site) -> None:
    """An open tap that is not fetched from keeps a bounded number of samples, and its lease ends; all is written."""
    client = Client(site.run.socket)
    client.call("tap", slot="TELEMETRY", tap="forgotten", per_s=100)
    for _ in range(30):
        site.publish("telemetry.a", 200)
    rows, _, dead = site.settled()
    fetched = client.call("tap", slot="TELEMETRY", tap="forgotten", per_s=100)
    time.sleep(LEASE_S + 1)
    late = client.call("tap", slot="TELEMETRY", tap="forgotten", per_s=100)
    client.close()

    assert site.published == rows + dead
    assert 0 < len(fetched["samples"]) <= SAMPLES_MAX
    assert fetched["seen"] >= 6000 or fetched["seen"] == 0
    assert (0, []) == (late["seen"], late["samples"])


def test_stacks_show_threads_and_tasks(site: Site) -> None:
    """A worker's own code is in both: the running call, and the tasks that wait."""
    done = site.ctl("stacks", "TELEMETRY/0")
    slot = site.reply("stacks", "TELEMETRY/0")["TELEMETRY/0"]

    assert 0 == done.returncode, done.stderr
    assert f"TELEMETRY/0 (pid {slot['pid']})" == done.stdout.splitlines()[0]
    assert "most recent call first" in slot["threads"]
    assert any("Pipeline._fill" in task for task in slot["tasks"])


def test_stacks_of_a_stopped_worker_are_a_sentence(site: Site) -> None:
    """A worker that the kernel does not let run has no stacks to tell, and is waited for no longer than is said."""
    pid = site.pids()["TELEMETRY/0"]
    os.kill(pid, signal.SIGSTOP)
    try:
        done = site.ctl("stacks", "TELEMETRY/0")
    finally:
        os.kill(pid, signal.SIGCONT)

    assert (1, f"TELEMETRY/0 (pid {pid}): its worker did not answer within 2 s") == (
        done.returncode,
        done.stdout.splitlines()[0],
    )


def test_lag_of_what_is_settled_agrees_everywhere(site: Site) -> None:
    """Once all is written, consumer and ledger are at the last message of the slot, and nothing is left."""
    site.publish("telemetry.a", 500)
    site.settled()
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
    """What a paused slot does not pull is its lag; the ledger stays where it is."""
    site.ctl("pause", "TELEMETRY", "--wait")
    before = site.reply("lag", "TELEMETRY")["slots"]["TELEMETRY/0"]
    site.publish("telemetry.a", 70)
    after = site.reply("lag", "TELEMETRY")["slots"]["TELEMETRY/0"]

    assert (0, 70) == (before["lag_messages"], after["lag_messages"])
    assert (before["ledger_seq"], before["last_seq"] + 70) == (after["ledger_seq"], after["last_seq"])


def test_streams_are_shown_once_with_their_readers(site: Site) -> None:
    """A stream of JetStream's that several slots read has one block, with a line for each of them."""
    text = site.ctl("streams").stdout

    assert 1 == text.count(f"{site.stream}  ")
    assert ["TELEMETRY/0", "SHARED/0", "SHARED/1"] == [
        line.split()[0] for line in text.splitlines() if line.startswith("  ") and "/" in line.split()[0]
    ]


def test_top_says_where_the_time_goes(site: Site) -> None:
    """Each slot has its rates and the shares of its stages, between nothing and all of the time."""
    slots = {slot["name"]: slot for slot in site.reply("top", "--count", "1", "--interval", "1")}

    assert set(site.slots()) == set(slots)
    stages = slots["TELEMETRY/0"]["stages"]
    assert ["pull", "decode", "encode", "wait", "copy", "commit", "ack"] == list(stages)
    assert all(0 <= share <= 1 for share in stages.values())
    assert stages["pull"] > 0.5


def test_stat_prints_a_line_each_time(site: Site) -> None:
    """A head, then a line for each look."""
    done = site.ctl("stat", "--count", "2", "--interval", "1")

    assert (0, 3) == (done.returncode, len(done.stdout.splitlines()))
    assert ["time", "msg/s", "rows/s"] == done.stdout.split()[:3]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 0, "EVENTWRITER OK - 3 of 3 workers running | lag=0;;"),
        (("--warn-lag", "0"), 1, "EVENTWRITER WARNING - 0 messages are waiting (warning from 0)"),
        (("--crit-lag", "0"), 2, "EVENTWRITER CRITICAL - 0 messages are waiting (critical from 0)"),
    ],
)
def test_check_speaks_as_plugins_do(site: Site, arguments: tuple[str, ...], code: int, words: str) -> None:
    """One line: verdict, reasons, figures with thresholds; the exit code says the same."""
    done = site.ctl("check", "--warn-dead", "1000000", *arguments)

    assert (code, 1) == (done.returncode, len(done.stdout.splitlines()))
    assert done.stdout.startswith(words)


def test_check_tells_of_a_paused_slot(site: Site) -> None:
    """What rests is a warning, with who asked for it."""
    site.ctl("pause", "TELEMETRY", "--wait")
    done = site.ctl("check", "--warn-dead", "1000000")

    assert 1 == done.returncode
    assert "EVENTWRITER WARNING - degraded: TELEMETRY/0: paused by" in done.stdout


def test_check_without_a_daemon_is_unknown(tmp_path: Path) -> None:
    """Nobody there is 3, in the same form."""
    done = command("eventwriter-ctl", "--socket", f"{tmp_path}/none", "check")

    assert 3 == done.returncode
    assert done.stdout.startswith("EVENTWRITER UNKNOWN - no daemon is running: ")


@pytest.mark.parametrize("verb", ["status", "top", "lag", "streams", "stat", "check"])
def test_output_fits_80_columns_without_colours(site: Site, verb: str) -> None:
    """What is no terminal gets no escape sequences, and tables break no line at 80 columns."""
    more = ("--count", "1") if verb in ("top", "stat") else ()
    text = site.ctl(verb, *more).stdout

    assert "\x1b" not in text
    if verb != "check":
        assert [] == [line for line in text.splitlines() if len(line) > 80]
        assert any(line.startswith("TELEMETRY/0") for line in text.splitlines()) or verb in ("streams", "stat")


def test_completion_offers_slots_and_streams(site: Site) -> None:
    """Every shell gets its script; the words come from the daemon."""
    scripts = [site.ctl("completion", shell) for shell in ("bash", "zsh", "fish")]
    words = f"eventwriter-ctl --socket {site.run.socket} pause S"
    asked = command(
        "eventwriter-ctl",
        environ={"_EVENTWRITER_CTL_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "4"},
    )

    assert [0, 0, 0] == [done.returncode for done in scripts]
    assert all("_EVENTWRITER_CTL_COMPLETE" in done.stdout for done in scripts)
    assert ["SHARED", "SHARED/0", "SHARED/1"] == [line.partition(",")[2] for line in asked.stdout.splitlines()]


def test_reload_shows_differences_and_replaces_only_whom_they_concern(site: Site) -> None:
    """A look changes nothing; the reload itself replaces one slot, and says which key waits for a restart."""
    before = site.pids()
    entries = [{**ENTRIES[0], "batch_size": 77}, ENTRIES[1]]
    site.configure(streams=entries, control={"socket": site.run.socket, "mode": "0600"}, log={"format": "json"})
    looked = site.ctl("reload", "--diff")
    untouched = site.pids()
    done = site.ctl("reload", "--wait")
    after = site.pids()
    again = site.reply("reload", "--diff")
    site.configure(streams=ENTRIES, control={"socket": site.run.socket})
    assert 0 == site.ctl("reload", "--wait").returncode

    assert (0, before) == (looked.returncode, untouched)
    for words in ("streams[TELEMETRY].batch_size", "would be replaced: TELEMETRY/0", "control.mode"):
        assert words in looked.stdout
    assert ["replaced: TELEMETRY/0", "takes effect only after a restart of the daemon: control.mode"] == [
        line for line in done.stdout.splitlines() if line.startswith(("replaced", "takes effect only"))
    ]
    assert {"TELEMETRY/0"} == {name for name in before if before[name] != after[name]}
    assert ["control.mode"] == again["restart_needed"]


def test_changed_secret_is_reported_but_not_shown(site: Site) -> None:
    """A look at a reload says that a password changed, without either of the two."""
    nats = site.config["nats"]
    site.configure(nats={"servers": [nats["servers"][0].replace("nats@", "other@")]})
    looked = site.ctl("reload", "--diff")
    site.configure(nats=nats)

    assert "nats.servers" in looked.stdout
    assert "(hidden)" in looked.stdout
    assert SECRET not in looked.stdout + looked.stderr


def test_broken_file_is_refused_with_every_mistake(site: Site) -> None:
    """An invalid file changes nothing, and its mistakes are printed."""
    before, content = site.pids(), site.run.config.read_text()
    broken = json.loads(content)
    broken["streams"][0]["batch_size"] = 0
    site.run.config.write_text(json.dumps({**broken, "nats": {"srvers": []}}))
    done = site.ctl("reload")
    site.run.config.write_text(content)

    assert 2 == done.returncode
    assert all(key in done.stderr for key in ("streams[0].batch_size", "'srvers' in nats"))
    assert before == site.pids()


def processes(site: Site) -> list[str]:
    """Return what `ps` shows of the daemon and its workers."""
    assert site.run.process is not None
    pids = [site.run.process.pid, *site.pids().values()]
    files = [Path(f"/proc/{pid}/{name}") for pid in pids for name in ("cmdline", "comm")]
    return [file.read_text().replace("\0", " ") for file in files]


def test_no_secret_is_in_anything_that_is_shown(site: Site, tmp_path: Path) -> None:
    """Neither a login's nor a payload's secret is in log, status, process titles, or the support bundle."""
    site.ctl("log-level", "debug")
    site.publish("telemetry.a", 100, sample)
    site.publish("telemetry.a", 10, lambda n: f'{{"community": "{SECRET}-snmp", broken {n}'.encode())
    os.kill(site.pids()["TELEMETRY/0"], signal.SIGKILL)
    site.settled()
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
