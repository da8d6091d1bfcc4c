"""Faults of a cluster of three NATS nodes with an R3 stream: one row for each message, no new epoch, health again."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from fix_faults import runs_all
from fix_nats_cluster import NODES, ClusterDaemon, wait_for

# nats-py leaves sockets of reset connections to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
COUNT = 300


def publish_around(daemon: ClusterDaemon, fault: Callable[[], object]) -> None:
    """Publish before and after a fault."""
    daemon.publish_all(COUNT)
    fault()
    daemon.publish_all(COUNT)


def only_with_all_faults(config: pytest.Config) -> None:
    """Skip the test unless all faults were requested."""
    if not runs_all(config):
        pytest.skip("not in the quick selection; --faults-all runs every fault")


def test_killed_leader(cluster_daemon: ClusterDaemon) -> None:
    """The leader of the stream is killed and comes back."""
    cluster, dead = cluster_daemon.cluster, cluster_daemon.cluster.leader()

    publish_around(cluster_daemon, cluster.nodes[dead].kill)
    wait_for("every message is written without the node", cluster_daemon.written)
    cluster.nodes[dead].start()
    wait_for("the node has caught up", cluster.has_caught_up)

    cluster_daemon.audit()


def test_lost_node_is_named(cluster_daemon: ClusterDaemon) -> None:
    """The log names the node whose connection was lost, although others take over."""
    cluster, lost = cluster_daemon.cluster, set[str]()
    for number in range(NODES):
        cluster_daemon.publish_all(1)
        wait_for("the message is written", cluster_daemon.written)
        cluster.nodes[number].kill()
        cluster_daemon.publish_all(1)
        wait_for("the message is written without the node", cluster_daemon.written)
        records = [json.loads(line) for line in cluster_daemon.log().splitlines() if "nats disconnected" in line]
        lost = {record["server"] for record in records}
        assert lost <= {f"127.0.0.1:{port}" for port in cluster.ports[: number + 1]}
        cluster.nodes[number].start()
        wait_for("the node has caught up", cluster.has_caught_up)

    assert lost


@pytest.mark.parametrize("what", ["STREAM.LEADER.STEPDOWN.events", "CONSUMER.LEADER.STEPDOWN.events.{durable}"])
def test_stepdown(cluster_daemon: ClusterDaemon, pytestconfig: pytest.Config, what: str) -> None:
    """The leader of the stream or of the consumer steps down."""
    only_with_all_faults(pytestconfig)
    status = cluster_daemon.status()
    assert status is not None
    subject = what.format(durable=status["slots"][0]["durable"])

    publish_around(cluster_daemon, lambda: cluster_daemon.cluster.step_down(subject))

    cluster_daemon.audit()


def test_lame_duck(cluster_daemon: ClusterDaemon, pytestconfig: pytest.Config) -> None:
    """The leader shuts down in lame duck mode."""
    only_with_all_faults(pytestconfig)
    cluster = cluster_daemon.cluster
    node = cluster.nodes[cluster.leader()]
    process = node.process
    assert process is not None

    publish_around(cluster_daemon, lambda: process.send_signal(signal.SIGUSR2))
    wait_for("the node has exited", lambda: process.poll() is not None)
    node.start()
    wait_for("the node has caught up", cluster.has_caught_up)

    cluster_daemon.audit()


def test_stopped_and_resumed_leader(cluster_daemon: ClusterDaemon, pytestconfig: pytest.Config) -> None:
    """The leader is suspended, is replaced, and resumes with an old end of the stream."""
    only_with_all_faults(pytestconfig)
    cluster = cluster_daemon.cluster
    node = cluster.nodes[cluster.leader()]
    cluster_daemon.publish_all(COUNT)

    node.pause()
    try:
        cluster_daemon.publish_all(COUNT)
        wait_for("every message is written without the node", cluster_daemon.written)
    finally:
        node.resume()
    cluster_daemon.publish_all(COUNT)

    cluster_daemon.audit()


def test_lost_quorum(cluster_daemon: ClusterDaemon, pytestconfig: pytest.Config) -> None:
    """Two of three nodes are killed and come back."""
    only_with_all_faults(pytestconfig)
    cluster = cluster_daemon.cluster
    cluster_daemon.publish_all(COUNT)

    for node in cluster.nodes[:2]:
        node.kill()
    wait_for("the outage is reported", lambda: not cluster_daemon.is_healthy())
    for node in cluster.nodes[:2]:
        node.start()
    cluster_daemon.publish_all(COUNT)

    cluster_daemon.audit()


def test_wiped_store(cluster_daemon: ClusterDaemon, pytestconfig: pytest.Config, tmp_path: Path) -> None:
    """A node loses its store and is filled again by the others."""
    only_with_all_faults(pytestconfig)
    cluster, wiped = cluster_daemon.cluster, cluster_daemon.cluster.leader()

    def wipe() -> None:
        cluster.nodes[wiped].kill()
        shutil.rmtree(tmp_path / f"node-{wiped}" / "jetstream")
        cluster.nodes[wiped].start()

    publish_around(cluster_daemon, wipe)
    wait_for("the node has caught up", cluster.has_caught_up)

    cluster_daemon.audit()


def test_partitioned_leader(partitionable_daemon: ClusterDaemon, pytestconfig: pytest.Config) -> None:
    """The leader is cut off from the other nodes, but not from clients, and comes back."""
    only_with_all_faults(pytestconfig)
    daemon, cluster = partitionable_daemon, partitionable_daemon.cluster
    daemon.publish_all(COUNT)
    cut_off = cluster.leader()

    cluster.partition(cut_off)
    try:
        daemon.publish_all(COUNT)
    finally:
        cluster.heal()
    wait_for("the node has caught up", cluster.has_caught_up)
    daemon.publish_all(COUNT)

    daemon.audit()


def test_new_epoch_without_a_regression_is_found(cluster_daemon: ClusterDaemon, pytestconfig: pytest.Config) -> None:
    """The audit of this file fails if the ledger has a second epoch."""
    only_with_all_faults(pytestconfig)
    cluster_daemon.publish_all(1)
    wait_for("the message is written", cluster_daemon.written)
    cluster_daemon.audit()
    cluster_daemon.sql(
        "INSERT INTO eventwriter_ledger (stream, incarnation, epoch, consumer, filter_hash)"
        " SELECT stream, incarnation, 1, consumer, filter_hash FROM eventwriter_ledger"
    )

    with pytest.raises(AssertionError):
        cluster_daemon.audit()
    assert [[1]] == [[one["epoch"] for one in report["unjustified_epochs"]] for report in cluster_daemon.verify()]
