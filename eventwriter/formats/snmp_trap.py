"""
SNMP traps as ServiceRadar's trap receiver publishes them, converted to OCSF events.

A trap is `{"source": "ip:port", "version": …, "community": …, "varbinds": [{"oid": …, "value": "TYPE: text"}]}`
and has no time. The rule engine adds a `severity`. The community is a credential and is never stored,
regardless of the configuration.

Source: OCSF schema 1.3.0, "Event Log Activity [1008]".
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Any

from eventwriter.formats.fields import instant_us, is_blank, json_value, names, text, text_of
from eventwriter.formats.ocsf import severity_id_of, severity_name
from eventwriter.model import Record

_SERVICE, _TIME = names("service_name"), ("time", "timestamp")

_WITH_PORT = re.compile(r"(\[[^\]]*\]|[^:]*):([0-9]{1,5})")


def ocsf_record(trap: Record, subject: str) -> Record:
    """
    Return a trap as an OCSF record of class 1008, activity Create. Its `id` is None if the trap has no id.

    Fields without an OCSF counterpart, the varbinds among them, are in `unmapped`. The caller has
    removed secrets from the trap.
    """
    rest = {key: value for key, value in trap.items() if value is not None}

    def take(keys: Sequence[str], read: Callable[[Any], Any]) -> Any:
        """Remove the first readable value from `rest` and return it."""
        key = next((key for key in keys if key in rest and read(rest[key]) is not None), None)
        return None if key is None else rest.pop(key)

    endpoint = _endpoint(trap.get("source"))
    trap_id, time = take(("id",), _filled), take(_TIME, instant_us)
    severity, service = text(take(("severity",), _filled)), text(take(_SERVICE, _filled))
    severity_id = severity_id_of(severity)
    if severity_id is None:
        severity_id = 0 if severity else 1
    return {
        "id": trap_id,
        "time": time,
        "class_uid": 1008,
        "category_uid": 1,
        "type_uid": 100801,
        "activity_id": 1,
        "activity_name": "Create",
        "severity_id": severity_id,
        "severity": severity or severity_name(severity_id),
        "message": message_of(trap.get("varbinds")) or text_of(trap, ("body", "message")),
        "observables": [{"name": endpoint["ip"], "type": "IP Address", "type_id": 2}] if endpoint else [],
        "device": {"ip": endpoint["ip"]} if endpoint else None,
        "src_endpoint": endpoint,
        "log_name": subject,
        "log_provider": service or "snmp",
        "unmapped": {key: json_value(value) for key, value in rest.items()},
    }


def _filled(value: Any) -> str | None:
    return None if is_blank(value) else text(value)


def message_of(varbinds: Any) -> str | None:
    """Return the text of the first varbind with a text value, without the leading type name if text follows it."""
    varbinds = json_value(varbinds)
    for varbind in varbinds if varbinds.__class__ is list else ():
        value = varbind.get("value") if varbind.__class__ is dict else None
        if value.__class__ is str and (value := value.strip()):
            return value.partition(":")[2].strip() or value
    return None


def _endpoint(source: Any) -> dict[str, Any] | None:
    """Parse `ip`, `ip:port` or `[ip]:port`; return None for other text, such as the rule engine's `snmp`."""
    if source.__class__ is not str:
        return None
    with_port = _WITH_PORT.fullmatch(source)
    host, port = with_port.groups() if with_port else (source, None)
    try:
        address = str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return None
    return {"ip": address} if port is None else {"ip": address, "port": int(port)}
