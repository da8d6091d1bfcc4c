"""
Removal of secrets from records: values under the keys of `redact`, and SNMP communities.

A record is searched only if its payload contains one of the keys, in any case, or may contain it in an
escaped or compressed form; one scan of the payload is cheaper than a look at each key.

Communities are removed from events and logs that come from SNMP: values of keys such as `community`,
`snmp_community` or `communityString`, and of the varbind snmpTrapCommunity. In records without a sign
of SNMP, `community` is an ordinary key.

Source: RFC 3584, section 3.1 (snmpTrapCommunity.0); RFC 2578 (object identifiers).
"""

import json
import re
from collections.abc import Callable
from typing import Any

import orjson

from eventwriter.errors import Poison
from eventwriter.formats.cloudevents import decode_base64, is_binary
from eventwriter.formats.compression import MAGIC
from eventwriter.formats.json import TooDeep, dumps, loads_clean, within_depth
from eventwriter.model import Adjustments, Message, Record

_BACKSLASH = ord("\\")
_ESCAPABLE = re.compile(r'["\\/\x00-\x1f]')
"""Characters that JSON may write with a backslash, other than as a number."""
_SNMP = re.compile(r"snmp|varbind|\btraps?\b|\boid\b|\b(?:1|iso)\.3\.6\.1\.", re.IGNORECASE)
"""What a record from SNMP contains."""
_COMMUNITY_MARKS = ("community", "1.6.3.18.1.4")
"""One of them is in every payload that contains a community."""
_COMMUNITY_KEY = re.compile(r"(snmp(?:v[123]c?)?)?(?:trap|read|write|ro|rw)?community(string|name)?")
"""Applied to a key in lower case without separators. With one of the groups, the key means SNMP by itself."""
_SEPARATORS = str.maketrans("", "", "_-. ")
_COMMUNITY_OID = re.compile(
    r"\.?(?:1|iso)\.3\.6\.1\.6\.3\.18\.1\.4(?:\.0)?|(?:.*::)?snmptrapcommunity(?:\.0)?", re.IGNORECASE
)
_COMMUNITY_TEXT = re.compile(
    r"((?:\.?\b(?:1|iso)\.3\.6\.1\.6\.3\.18\.1\.4(?:\.0)?|snmpTrapCommunity(?:\.0)?)\\*+[\"']?+\s*+[=:,]\s*+\\*+[\"']?+"
    r"(?:[A-Za-z][A-Za-z ]*:\s*)?+\\*+[\"']?+|\bSNMP v\w+, community )(?!\*\*\*)([^\s,;\"'\\}\]]+)",
    re.IGNORECASE,
)
"""A community in text: `snmpTrapCommunity.0 = STRING: "public"`, and the line of snmptrapd."""
_VARBIND_KEPT = frozenset({"type", "syntax"})
"""Fields of a varbind that are kept beside its object identifier."""
COMMUNITY = "snmp_community"
"""Label of redacted communities in counters."""
_MASK = "***"


class Redactor:
    """
    Removes secrets from the records of one worker and counts them.

    Args:
        keys: Lower-case keys whose values are never stored.
        adjustments: Counts what is removed.
        snmp: Remove SNMP communities too.
    """

    def __init__(self, keys: frozenset[str], adjustments: Adjustments | None = None, snmp: bool = False) -> None:
        self._keys = keys
        self._snmp = snmp
        self._counts = (adjustments or Adjustments()).redacted_by_key
        self._marks = tuple(dict.fromkeys((*(_COMMUNITY_MARKS if snmp else ()), *sorted(keys))))
        self._always = not all(key.isascii() and not _ESCAPABLE.search(key) for key in keys)
        self._message: Message | None = None
        self.suspicious = False
        """Whether the payload of the last message may contain a secret."""

    @property
    def active(self) -> bool:
        """Whether there is anything to remove."""
        return bool(self._marks)

    def may_hold(self, payload: bytes) -> bool:
        """Return whether a payload may contain a secret; false is certain."""
        # Hot: once per message. As text, because a search in bytes takes several times as long.
        lower = payload.lower().decode("latin-1")
        for mark in self._marks:
            if mark in lower:
                return True
        return (_BACKSLASH in payload and "\\u" in lower) or self._always or payload.startswith(MAGIC)

    def _may_hold(self, message: Message) -> bool:
        headers = message.headers
        return self.may_hold(message.payload) or (headers is not None and is_binary(headers))

    def clean(self, record: Record, message: Message) -> Record:
        """
        Return a record without its secrets; the record itself if it has none.

        Raises:
            Poison: `malformed`, nested too deeply to be searched.
        """
        # Hot: once per record.
        if message is not self._message:
            self._message, self.suspicious = message, self._may_hold(message)
        if not self.suspicious and "data_base64" not in record:
            return record
        return self._clean_record(record, message.subject)

    def _clean_record(self, record: Record, subject: str) -> Record:
        kept: Record = self.value(record, subject)
        data = decode_base64(kept.get("data_base64"))
        if data is not None and (clean := self.value(data, subject)) is not data:
            # The data is stored as JSON instead of base64, without its secrets.
            kept = {**kept, "data": clean if kept.get("data") is None else kept["data"]}
            del kept["data_base64"]
        return kept

    def value(self, value: Any, subject: str = "") -> Any:
        """
        Return a JSON value without its secrets, at any depth and in JSON text within it.

        Args:
            subject: Subject of the message, which may tell that the value comes from SNMP.

        Returns:
            The value itself if it has no secrets.

        Raises:
            Poison: `malformed`, nested too deeply to be searched.
        """
        if not self._marks:
            return value
        return within_depth(_Removal(self._labels(value, subject), self._snmp, self._counts.add).of, value)

    def text(self, text: str, subject: str = "") -> str:
        """Return text without its secrets; text that is JSON is searched as such."""
        cleaned: str = self.value(text, subject)
        return cleaned

    def _labels(self, value: Any, subject: str) -> Callable[[str], str | None]:
        """Return the function (key → label of the secret, or None) for the keys of a record."""
        keys, snmp = self._keys, self._snmp
        from_snmp = snmp and bool(_SNMP.search(subject) or _SNMP.search(dumps(value).decode()))

        def label(key: str) -> str | None:
            lower = key.lower()
            if lower in keys:
                return lower
            if not snmp:
                return None
            match = _COMMUNITY_KEY.fullmatch(lower.translate(_SEPARATORS))
            if match is not None and (from_snmp or match[1] or match[2]):
                return COMMUNITY
            return COMMUNITY if _COMMUNITY_OID.fullmatch(key) else None

        return label

    def has_escaped_secret(self, json_text: str, subject: str = "") -> bool:
        """
        Return whether JSON text has the key of a secret, also where a parser does not return it.

        A key is lost in parsing if an object has an ancestor whose key occurs again.
        """
        if not any(mark in json_text.lower() for mark in (*self._marks, "\\u")):
            return False
        return _has_key(json_text, self._labels(json_text, subject))

    def payload(self, payload: bytes, subject: str = "") -> bytes:
        """
        Return a payload without its secrets; the payload itself if it has none.

        JSON loses the keys. In a payload that is not JSON, text after such a key and a colon or an equals sign
        is masked.
        """
        if not self._marks or not self.may_hold(payload):
            return payload
        try:
            value = orjson.loads(payload)
            kept = self.value(value, subject)
            return payload if kept is value else dumps(kept)
        except (orjson.JSONDecodeError, RecursionError, Poison):  # not JSON, or nested too deeply to be written again
            return self._masked(payload, subject)

    def _masked(self, payload: bytes, subject: str) -> bytes:
        text = payload.decode("latin-1")
        keys = [re.escape(key.encode().decode("latin-1")) for key in sorted(self._keys)]
        if self._snmp:
            named = "" if _SNMP.search(subject) or _SNMP.search(text) else "(?:string|name)"
            keys.append(rf"(?:snmp[\w.-]*)community\w*|community[_-]?{named}")
        assigned = re.compile(rf"(?i)((?:{'|'.join(keys)})[\"']?\s*[:=]\s*)(\"(?:[^\"\\]|\\.)*\"?|[^\s,}}\]]+)")
        masked = assigned.sub(rf'\1"{_MASK}"', text)
        if self._snmp:
            masked = _COMMUNITY_TEXT.sub(rf"\1{_MASK}", masked)
        return masked.encode("latin-1")


def _has_key(json_text: str, label: Callable[[str], str | None]) -> bool:
    """Return whether JSON text has the key of a secret, also one that a later value of an outer key overwrites."""
    found = False

    def visit(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        found = found or any(label(key) for key, _ in pairs)
        return dict(pairs)

    try:
        json.loads(json_text, object_pairs_hook=visit)
    except RecursionError:
        return True
    return found


class _Removal:
    """One search of a value; `of` returns the value itself if nothing was removed."""

    def __init__(self, label: Callable[[str], str | None], snmp: bool, count: Callable[[str], None]) -> None:
        self._label = label
        self._snmp = snmp
        self._count = count

    def of(self, value: Any) -> Any:
        if value.__class__ is dict:
            return self._of_object(value)
        if value.__class__ is list:
            return self._of_array(value)
        if value.__class__ is str:
            return self._of_text(value)
        return value

    def _of_object(self, value: dict[str, Any]) -> dict[str, Any]:
        if self._snmp and any(_is_community_oid(inner) for inner in value.values()):
            return self._of_varbind(value)
        kept: dict[str, Any] = {}
        changed = False
        for key, inner in value.items():
            if (label := self._label(key)) is not None:
                self._count(label)
                changed = True
                continue
            kept[key] = self.of(inner)
            changed = changed or kept[key] is not inner
        return kept if changed else value

    def _of_varbind(self, value: dict[str, Any]) -> dict[str, Any]:
        kept = {key: inner for key, inner in value.items() if key.lower() in _VARBIND_KEPT or _is_community_oid(inner)}
        if len(kept) == len(value):
            return value
        self._count(COMMUNITY)
        return kept

    def _of_array(self, value: list[Any]) -> list[Any]:
        if self._snmp and len(value) > 1 and _is_community_oid(value[0]):
            self._count(COMMUNITY)
            return value[:1]
        kept = []
        changed = False
        for inner in value:
            kept.append(self.of(inner))
            changed = changed or kept[-1] is not inner
        return kept if changed else value

    def _of_text(self, value: str) -> str:
        if value[:1] in ("{", "["):
            return self._of_json(value)
        return self._of_prose(value) if self._snmp else value

    def _of_prose(self, value: str) -> str:
        masked, count = _COMMUNITY_TEXT.subn(self._mask, value)
        return masked if count else value

    def _of_json(self, json_text: str) -> str:
        try:
            value = loads_clean(json_text)
        except TooDeep:
            raise Poison(
                "malformed", "text that may be JSON with a secret is nested too deeply to be searched"
            ) from None
        except ValueError:
            return self._of_prose(json_text) if self._snmp else json_text
        kept = self.of(value)
        return json_text if kept is value and not _has_key(json_text, self._label) else dumps(kept).decode()

    def _mask(self, match: re.Match[str]) -> str:
        self._count(COMMUNITY)
        return f"{match[1]}{_MASK}"


def _is_community_oid(value: Any) -> bool:
    return value.__class__ is str and len(value) < 64 and _COMMUNITY_OID.fullmatch(value) is not None


def redactor(redact: frozenset[str]) -> Callable[[Record, Message], Record]:
    """Return the function (record, its message) → record without secrets, as `Redactor.clean`."""
    return Redactor(redact, snmp=True).clean


def without(value: Any, redact: frozenset[str], subject: str = "") -> Any:
    """Return a value without secrets, as `Redactor.value`."""
    return Redactor(redact, snmp=True).value(value, subject)


def secret_finder(redact: frozenset[str]) -> Callable[[bytes], bool]:
    """Return the function that tells whether a payload may contain a secret, as `Redactor.may_hold`."""
    return Redactor(redact, snmp=True).may_hold


def has_escaped_secret(json_text: str, redact: frozenset[str]) -> bool:
    """Return whether JSON text has the key of a secret, as `Redactor.has_escaped_secret`."""
    return Redactor(redact, snmp=True).has_escaped_secret(json_text)
