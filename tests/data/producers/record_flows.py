"""
Record flow collectors: goflow2 (JSON and protobuf), nfdump, pmacct, and softflowd as an exporter for goflow2.

The packets of a router are built by flow_packets.py from flows.json; softflowd's come from a capture file.

Needs nfcapd, sfcapd, nfdump, nfacctd, sfacctd, pmacctd and softflowd in PATH; goflow2 as the only argument.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flow_packets
from recording import FOLDER, record

FLOWS = json.loads((FOLDER / "flows.json").read_text())
EXPORTER = "127.0.0.9"
"""The router's address, as the collectors see it."""
MAPPING = """
formatter:
  fields: [type, time_received_ns, sequence_num, sampling_rate, flow_direction, bi_flow_direction, ingress_vrf_id,
    egress_vrf_id, sampler_address, time_flow_start_ns, time_flow_end_ns, bytes, packets, src_addr, src_net, dst_addr,
    dst_net, etype, proto, src_port, dst_port, in_if, out_if, src_mac, dst_mac, icmp_name]
  protobuf:
    - {name: flow_direction, index: 42, type: varint}
    - {name: bi_flow_direction, index: 41, type: varint}
    - {name: ingress_vrf_id, index: 39, type: varint}
    - {name: egress_vrf_id, index: 40, type: varint}
  render:
    time_received_ns: datetimenano
ipfix:
  mapping:
    - {field: 61, destination: flow_direction}
    - {field: 239, destination: bi_flow_direction}
    - {field: 234, destination: ingress_vrf_id}
    - {field: 235, destination: egress_vrf_id}
netflowv9:
  mapping:
    - {field: 61, destination: flow_direction}
"""
"""The part about directions and VRFs of the mapping file that goflow2 brings with it."""

FORMS = {"json": "goflow2 JSON, one a line", "bin": "goflow2 protobuf, each with its length before it"}
FRAMED = {"framing": "length prefix"}
"""In told.json of payloads that are several protobuf messages, each with its length before it."""

Build = Callable[[Sequence[flow_packets.Flow], int], bytes]
Packets = Sequence[bytes]


def flows_of(*groups: str) -> list[flow_packets.Flow]:
    return [{**FLOWS["common"], **flow} for group in groups for flow in FLOWS[group]]


SENT: dict[str, tuple[Build, list[flow_packets.Flow], str]] = {
    "netflow_v5": (flow_packets.netflow_v5, flows_of("netflow"), "NETFLOW_V5"),
    "netflow_v9": (flow_packets.netflow_v9, flows_of("netflow", "wide"), "NETFLOW_V9"),
    "ipfix": (flow_packets.ipfix, flows_of("netflow", "wide", "vrf"), "IPFIX"),
    "ipfix_layer_2": (flow_packets.ipfix, flows_of("layer_2"), "IPFIX"),
    "sflow": (flow_packets.sflow, [{**flow, "start_ns": None, "end_ns": None} for flow in FLOWS["sflow"]], "SFLOW_5"),
}


def packets_of(name: str) -> Packets:
    """Return one packet for v5 and sFlow, and one for each flow of the other forms: collectors keep their order so."""
    build, flows, _ = SENT[name]
    if build in (flow_packets.netflow_v5, flow_packets.sflow):
        return [build(flows, 1000)]
    return [build([flow], 1000 + number) for number, flow in enumerate(flows)]


def told_of(producer: str, form: str, name: str) -> dict[str, Any]:
    build, flows, source = SENT[name]
    by_packet = build not in (flow_packets.netflow_v5, flow_packets.sflow)
    extra: dict[str, Any] = {"flow_source": source}
    if source != "IPFIX":
        extra["sampling_rate"] = flow_packets.SAMPLING_RATE
    if source in ("NETFLOW_V9", "IPFIX"):
        extra["observation_domain_id"] = flow_packets.OBSERVATION_DOMAIN
    extra["sampler_address"] = "192.0.2.250" if source == "SFLOW_5" else EXPORTER
    return {
        **(FRAMED if form.startswith(FORMS["bin"]) else {}),
        "producer": producer,
        "kind": "netflow",
        "subject": "netflow.flows",
        "form": form,
        "records": [
            {**without_building(flow), **extra, "sequence": 1000 + (number if by_packet else 0)}
            for number, flow in enumerate(flows)
        ],
        "note": "A flow's start and end are absent from sFlow. The time of receipt is the collector's own clock.",
    }


def without_building(flow: flow_packets.Flow) -> dict[str, Any]:
    """Leave out how the packet was built, and ports that encode ICMP's type and code."""
    left_out = {"layer_2_payload", "payload_bytes", *(("src_port", "dst_port") if "icmp_type" in flow else ())}
    return {key: value for key, value in flow.items() if key not in left_out}


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: Sequence[str | Path], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a collector until the block ends, which begins when it listens on the port."""
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: f":{port:04X} " in Path("/proc/net/udp").read_text(), f"{command[0]} listens on {port}")
        time.sleep(1)  # some bind before their other processes are ready
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:  # rsyslogd ends on the other one
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)


def wait_for(condition: Callable[[], Any], what: str, limit_s: float = 20) -> None:
    end_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError(what)
        time.sleep(0.05)


def send(packets: Packets, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.bind((EXPORTER, 0))
        for packet in packets:
            out.sendto(packet, ("127.0.0.1", port))
            time.sleep(0.03)  # one at a time: the order of the output is part of the recording


def goflow2(program: str, packets: Packets | None, scheme: str, form: str, mapping: str | None = None) -> bytes:
    """Return goflow2's output for packets; where there are none, softflowd exports the capture file to it."""
    with tempfile.TemporaryDirectory() as place:
        port, out = free_port(), Path(place) / "out"
        command = [program, "-listen", f"{scheme}://127.0.0.1:{port}?count=1", "-addr", f"127.0.0.1:{free_port()}"]
        command += ["-format", form, "-transport.file", str(out), "-transport.file.sep", "\n" if form == "json" else ""]
        if mapping:
            (Path(place) / "mapping.yaml").write_text(mapping)
            command += ["-mapping", str(Path(place) / "mapping.yaml")]
        with running(command, port):
            if packets is None:
                softflowd(Path(place), port)
            else:
                send(packets, port)
            time.sleep(1)
        return out.read_bytes()


def softflowd(place: Path, port: int) -> None:
    start_ns = int(FLOWS["common"]["start_ns"])
    frames = [(start_ns + n * 10**6, flow_packets.ethernet(flow)) for n, flow in enumerate(FLOWS["sflow"])]
    (place / "frames.pcap").write_bytes(flow_packets.pcap(frames))
    command = ["softflowd", "-d", "-r", "frames.pcap", "-n", f"127.0.0.1:{port}", "-v", "10", "-A", "milli", "-a", "-6"]
    command += ["-T", "ether", "-p", "pid", "-c", "none"]
    subprocess.run(command, cwd=place, check=True, capture_output=True)


def record_goflow2(program: str) -> None:
    version = subprocess.run([program, "-v"], capture_output=True, text=True).stdout.strip() or "goflow2"
    producer = f"goflow2 {os.environ.get('GOFLOW2_VERSION', version)}"
    for name in SENT:
        scheme = "sflow" if name == "sflow" else "netflow"
        for form, words in FORMS.items():
            suffix = "json.ndjson" if form == "json" else "protobuf.bin"
            told = told_of(producer, words, name)
            told["not_sent"] = ["flow_direction", "ingress_vrf", "egress_vrf"]
            if name == "ipfix_layer_2":
                told["not_sent"].append("etype")
            if name == "sflow":
                told["not_sent"] += ["icmp_type", "icmp_code"]
                tagged(told["records"])
            record("goflow2", f"{name}_{suffix}", goflow2(program, packets_of(name), scheme, form), told)
            if name in ("netflow_v9", "ipfix"):
                told = told_of(producer, f"{words}; mapping.yaml", name)
                told["not_sent"] = list(NOT_FORMATTED) if form == "json" else []
                payload = goflow2(program, packets_of(name), scheme, form, MAPPING)
                record("goflow2", f"{name}_mapped_{suffix}", payload, told)
    for form, suffix in (("json", "json.ndjson"), ("bin", "protobuf.bin")):
        told = softflowd_told(f"softflowd, then {producer}", FORMS[form])
        record("goflow2", f"softflowd_{suffix}", goflow2(program, None, "netflow", form), told)


NOT_FORMATTED = (
    "tcp_flags",
    "tos",
    "src_as",
    "dst_as",
    "next_hop",
    "src_vlan",
    "dst_vlan",
    "ttl",
    "forwarding_status",
    "observation_domain_id",
)
"""What the JSON of the mapping file leaves out."""


def tagged(flows: list[dict[str, Any]]) -> None:
    """Rename the VLAN of sampled frames: goflow2 has the tag as vlan_id, and no VLAN of a source port."""
    for flow in flows:
        if "src_vlan" in flow:
            flow["vlan_id"] = flow.pop("src_vlan")


def softflowd_told(producer: str, form: str) -> dict[str, Any]:
    """Return what the captured frames hold; softflowd skips those without IP, and exports the newest first."""
    told = told_of(producer, f"{form}; IPFIX of softflowd", "sflow")
    start_ns = int(FLOWS["common"]["start_ns"])
    told["records"] = [
        {
            **{key: value for key, value in without_building(flow).items() if key not in NOT_EXPORTED},
            "flow_source": "IPFIX",
            "sampler_address": "127.0.0.1",
            "bytes": len(flow_packets.ethernet(flow)) - (18 if "src_vlan" in flow else 14),
            "start_ns": str(start_ns + number * 10**6),
            "end_ns": str(start_ns + number * 10**6),
        }
        for number, flow in enumerate(FLOWS["sflow"])
        if "src_addr" in flow
    ]
    told["records"].sort(key=lambda flow: {17: 0, 1: 1, 6: 2}[flow["proto"]])
    return told


NOT_EXPORTED = ("in_if", "out_if", "etype", "ttl", "flow_label")
"""What a frame tells, but softflowd does not pass on."""


def record_nfdump() -> None:
    version = subprocess.run(["nfdump", "-V"], capture_output=True, text=True).stdout.split()[-1]
    for name in SENT:
        collector = "sfcapd" if name == "sflow" else "nfcapd"
        with tempfile.TemporaryDirectory() as place:
            port = free_port()
            with running([collector, "-w", place, "-b", "127.0.0.1", "-p", str(port), "-t", "3600"], port):
                send(packets_of(name), port)
                time.sleep(1)
            files = sorted(Path(place).glob("nfcapd.2*"))
            command = ["nfdump", "-R", f"{place}/{files[0].name}", "-o", "json"]
            environment = {**os.environ, "TZ": "UTC"}
            payload = subprocess.run(command, capture_output=True, check=True, env=environment).stdout
        told = told_of(f"nfdump {version}", "nfdump -o json: an array", name)
        told["not_sent"] = ["observation_domain_id", "sequence", "sampling_rate", "ttl", "etype"]
        if name in ("netflow_v9", "sflow"):
            told["not_sent"] += ["icmp_type", "icmp_code"]
        for flow in told["records"]:
            flow["sampler_address"] = EXPORTER  # an sFlow agent's address is not kept
            if name in ("netflow_v5", "sflow"):  # nfdump multiplies what was sampled
                rate = flow_packets.SAMPLING_RATE
                flow |= {"bytes": flow["bytes"] * rate, "packets": flow["packets"] * rate}
        record("nfdump", f"{name}.json", payload, told)


PMACCT = """
daemonize: false
{daemon}_ip: 127.0.0.1
{daemon}_port: {port}
plugins: print
print_output: json
print_output_file: {out}
print_output_file_append: true
print_refresh_time: 1
aggregate: {aggregate}
{more}
"""
KEYS = (
    "src_host, dst_host, src_port, dst_port, proto, tos, tcpflags, in_iface, out_iface, src_as, dst_as, src_mac,"
    " dst_mac, vlan, etype, src_mask, dst_mask, peer_src_ip, timestamp_start, timestamp_end, sampling_rate"
)


def record_pmacct() -> None:
    version = subprocess.run(["nfacctd", "-V"], capture_output=True, text=True).stdout.split()[4]
    for name in SENT:
        if name == "ipfix_layer_2":
            continue
        daemon = "sfacctd" if name == "sflow" else "nfacctd"
        more = "" if name == "sflow" else "timestamps_since_epoch: true\n" if name == "netflow_v5" else ""
        payload = pmacct(daemon, packets_of(name), KEYS, more)
        told = told_of(f"{daemon} {version}", "pmacct print plugin, one JSON object a line", name)
        told["not_sent"] = list(NOT_AGGREGATED)
        told["records"] = [seen_by_pmacct(flow, name) for flow in told["records"] if "src_addr" in flow]
        in_order = [json.loads(line) for line in payload.splitlines()]
        places = {(line["ip_src"], line["bytes"]): number for number, line in enumerate(in_order)}
        told["records"].sort(key=lambda flow: places[flow["src_addr"], flow["bytes"]])
        record("pmacct", f"{name}.ndjson", payload, told)


NOT_AGGREGATED = (
    "sequence",
    "observation_domain_id",
    "flow_direction",
    "ttl",
    "forwarding_status",
    "ingress_vrf",
    "egress_vrf",
    "next_hop",
    "dst_vlan",
    "flow_label",
    "flow_source",
)


def seen_by_pmacct(flow: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a flow with the times that pmacct makes of it: whole seconds for v5 and v9."""
    if name not in ("netflow_v5", "netflow_v9"):
        return flow
    return {**flow, "start_ns": "1767225601000000000", "end_ns": "1767225605000000000"}


def pmacct(daemon: str, packets: Packets, aggregate: str, more: str) -> bytes:
    with tempfile.TemporaryDirectory() as place:
        port, out, config = free_port(), Path(place) / "out", Path(place) / "config"
        config.write_text(PMACCT.format(daemon=daemon, port=port, out=out, aggregate=aggregate, more=more))
        with running([daemon, "-f", config], port):
            send(packets, port)
            wait_for(lambda: out.exists() and out.read_bytes().strip(), f"{daemon} writes")
            time.sleep(2.5)
            return b"".join(sorted(out.read_bytes().splitlines(keepends=True)))


def main() -> None:
    record_goflow2(sys.argv[1])
    if shutil.which("nfdump"):
        record_nfdump()
    if shutil.which("nfacctd"):
        record_pmacct()


if __name__ == "__main__":
    main()
