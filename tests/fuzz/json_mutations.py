"""
Mutations of JSON payloads: any value in any position; duplicated, renamed and added keys.

Values that `json.dumps` cannot write (numbers out of range, lone surrogates, thousands of levels) are inserted
as markers and replaced in the text.
"""

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

_MARKER = re.compile(r'"~@([0-9]+)@~"')

NUMBERS = (
    "0", "-0", "-0.0", "1", "-1", "7", "32767", "32768", "65535", "65536", "2147483647", "2147483648", "-2147483648",
    "-2147483649", "4294967295", "9007199254740993", "9223372036854775807", "9223372036854775808",
    "-9223372036854775808", "-9223372036854775809", "18446744073709551615", "18446744073709551616", "1" + "0" * 30,
    "9" * 400, "9" * 4000, "-" + "9" * 5000, "1e999", "-1e999", "1e400000", "1e-400000", "1.7976931348623157e308",
    "5e-324", "0." + "0" * 400 + "1", "1." + "3" * 2000, "1e5", "1E+2", "1.5", "-1.5", "0.1", "3.0", "NaN", "Infinity",
    "-Infinity", "253402300799", "9214646399999999", "9214646400000000", "9214646400000000000", "99999999999",
    "100000000000", "1e11", "1e14", "1e17", "1705315800.123456", "100000000000000000", "946684799999999",
)  # fmt: skip
DATES = (
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-23:59",
    "1970-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00.000001Z", "2262-01-01T00:00:00Z",
    "2261-12-31T23:59:59.999999Z", "2024-02-30T00:00:00Z", "2024-01-01T24:00:00Z", "2024-06-30T23:59:60Z",
    "2024-W01-1", "20240101", "20240101T000000Z", "2024-01-01", "2024-01-01T00:00:00.123456789+05:30", "24:00", "00:00",
    "2024-01-01 00:00:00", "1705315800", "1705315800000000000", "-1705315800", "1e18", "P1Y", "PT" + "9" * 30 + "H",
    "infinity", "-infinity", "now",
)  # fmt: skip
TEXTS = (
    "", " ", "\0", "a\0b", "\0" * 50, "\u0130", "ß\u0345", "\U0001f9ff" * 30, "\u202e", "\r\n\t\x7f\x1b", "\ufeff",
    "true", "False", "yes", "0", "1", "-0", "0x10", "1_000", "٣", "²", "½", " 5 ", "1e3", "1e999", "-1e999", "NaN",
    "nan", "inf", "-Infinity", "9" * 30, "9" * 5000, "1e400000", "1e-400000", "1e1000000000", "null", "{", "[", "{}",
    "[]", "[1,2", '{"a":1}', '{"a":1e400000}', '{"a":1e-400000}', '{"a":' + "9" * 400 + "}", '["\\u0000"]',
    '["\\ud800"]', '{"\\u0000":1,"\\u0000":2}', "[NaN]", '{"Community":"k3y"}', "10.0.0.1", "10.0.0.1/33", "::1",
    "::ffff:1.2.3.4", "fe80::1%eth0", "999.1.1.1", "1.2.3", "aa:bb:cc:dd:ee:ff", "22", "22,80", "tcp", "6", "INFO",
    "high", "\\x00", "\\xzz", "eyJhIjoxfQ==", "0b0f4e3e-8f0a-4c5e-9d57-0d9ac8a1c001", "{" + "0" * 32 + "}",
    "urn:uuid:00000000-0000-0000-0000-000000000000", "0102030405060708", "AQIDBAUGBwg=", "default:10.0.0.1:9",
    "SPAN_KIND_SERVER", "STATUS_CODE_ERROR", "a=b,c=d", "x" * 10_000, "waf.finding",
)  # fmt: skip
RAW_TEXTS = (r'"\ud800"', r'"\udfff\ud800"', r'"\u0000"', r'"a\ud83d"', r'"\ud83d\ude00"', r'"\u0000\ud800"')
DEPTHS = (3, 20, 99, 127, 128, 200, 253, 254, 255, 256, 500, 900, 995, 1023, 1024, 1025, 3000, 20_000)
OTHERS = (
    "null", "true", "false", "[]", "{}", "[null]", "[[]]", "[{}]", '{"":""}', '[1,"a",null,{"b":[]},[[2]],true,1.5]',
    '{"a":1,"a":2}', "[" + "1," * 3000 + "1]", "{" + ",".join(f'"k{n}":{n}' for n in range(600)) + "}",
    '{"stringValue":"x"}', '{"intValue":"5"}', '{"kvlistValue":{"values":[{"key":"a"}]}}', '{"arrayValue":{}}',
    '{"ip":"1.2.3.4","port":70000}', '[{"name":"a","type":"b","type_id":1}]', '[{"oid":"1.3","value":"\\u0000"}]',
    '{"community":"k3y"}',
)  # fmt: skip
ODD_KEYS = ("", "\0", "a\0b", "k" * 10_000, "__proto__", "Community", "é", "\U0001f600", "$subject", "a.b", "0", "ID")

SECRET = "s3cret-value"
"""Value of the key `community`, which is redacted: no row may contain it."""


def any_value(rng: random.Random) -> str:
    """Return the JSON text of a random value."""
    choice = rng.randrange(8)
    if choice < 2:
        return rng.choice(NUMBERS)
    if choice == 2:
        return json.dumps(rng.choice(DATES))
    if choice == 3:
        return rng.choice(RAW_TEXTS)
    if choice == 4:
        return rng.choice(OTHERS)
    if choice == 5 and rng.random() < 0.15:
        return _deep(rng)
    if choice == 6 and rng.random() < 0.1:
        # Incompressible text: whether a value fits into an index depends on its compressed size.
        return json.dumps(
            "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789+/é", k=rng.choice((900, 4000, 10_000))))
        )
    return json.dumps(rng.choice(TEXTS))


def _deep(rng: random.Random) -> str:
    depth = rng.choice(DEPTHS)
    inner = rng.choice(("1", '"x"', '"\\u0000"', "", '{"community":"k3y"}'))
    text = "[" * depth + inner + "]" * depth
    if rng.random() < 0.5:
        text = '{"a":' * depth + (inner or "null") + "}" * depth
    return json.dumps(text) if rng.random() < 0.3 else text


class Mutation:
    """A payload during its mutation."""

    def __init__(self, rng: random.Random, payload: bytes, keys: Sequence[str]) -> None:
        self.rng = rng
        self.keys = keys
        self.root = [json.loads(payload)]
        self._raw: list[str] = []

    def marker(self, text: str) -> str:
        """Return a placeholder for JSON text that is inserted by `encode`."""
        self._raw.append(text)
        return f"~@{len(self._raw) - 1}@~"

    def encode(self) -> bytes:
        """Return the mutated payload."""
        separators = (",", ":") if self.rng.random() < 0.7 else (" , ", " : ")
        text = json.dumps(self.root[0], ensure_ascii=self.rng.random() < 0.5, separators=separators)
        text = _MARKER.sub(lambda found: self._raw[int(found[1])], text)
        return text.encode("utf-8", "surrogatepass")

    def places(self) -> list[tuple[Any, Any]]:
        """Return the position of every value: (object or array, key or index)."""
        found: list[tuple[Any, Any]] = []
        waiting: list[Any] = [self.root]
        while waiting:
            one = waiting.pop()
            items = one.items() if isinstance(one, dict) else enumerate(one)
            for key, value in items:
                found.append((one, key))
                if isinstance(value, (dict, list)):
                    waiting.append(value)
        return found

    def objects(self) -> list[dict[str, Any]]:
        """Return every object."""
        return [box[key] for box, key in self.places() if isinstance(box[key], dict)]


def _replace(m: Mutation) -> None:
    box, key = m.rng.choice(m.places())
    box[key] = m.marker(any_value(m.rng))


def _delete(m: Mutation) -> None:
    box, key = m.rng.choice(m.places())
    if box is not m.root:
        del box[key]


def _rename(m: Mutation) -> None:
    if objects := [one for one in m.objects() if one]:
        one = m.rng.choice(objects)
        one[_key(m)] = one.pop(m.rng.choice(list(one)))


def _add(m: Mutation) -> None:
    if objects := m.objects():
        m.rng.choice(objects)[_key(m)] = m.marker(any_value(m.rng))


def _duplicate_key(m: Mutation) -> None:
    box, key = m.rng.choice(m.places())
    if isinstance(box, dict):
        first = json.dumps(box[key]) if m.rng.random() < 0.5 else any_value(m.rng)
        if "~@" not in first:
            box[key] = m.marker(f"{first},{json.dumps(key)}:{any_value(m.rng)}")


def _repeat(m: Mutation) -> None:
    box, key = m.rng.choice(m.places())
    box[key] = [box[key]] * m.rng.choice((1, 2, 3, 30))


def _move(m: Mutation) -> None:
    places = m.places()
    (box, key), (other, other_key) = m.rng.choice(places), m.rng.choice(places)
    box[key] = json.loads(json.dumps(other[other_key]))


def _as_text(m: Mutation) -> None:
    box, key = m.rng.choice(m.places())
    box[key] = json.dumps(box[key]) if m.rng.random() < 0.7 else str(box[key])


def _array(m: Mutation) -> None:
    whole = m.root[0]
    m.root[0] = [json.loads(json.dumps(whole)) for _ in range(m.rng.choice((1, 2, 3, 10)))]
    if m.rng.random() < 0.2:
        m.root[0].append(m.marker(any_value(m.rng)))


def _key(m: Mutation) -> str:
    return m.rng.choice(ODD_KEYS) if m.rng.random() < 0.1 else m.rng.choice(m.keys)


_MUTATIONS: tuple[Callable[[Mutation], None], ...] = (
    _replace, _replace, _replace, _replace, _add, _add, _add, _delete, _rename, _duplicate_key, _repeat, _move,
    _as_text, _array,
)  # fmt: skip


def mutate(rng: random.Random, payload: bytes, keys: Sequence[str]) -> tuple[bytes, bool]:
    """
    Return a payload with one to four changes, and whether it contains a secret, which no row may contain.

    Args:
        keys: Keys that the kind may recognize.
    """
    m = Mutation(rng, payload, keys)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        rng.choice(_MUTATIONS)(m)
    secret = rng.random() < 0.1
    if secret and (objects := m.objects()):
        rng.choice(objects)[rng.choice(("community", "Community", "COMMUNITY"))] = rng.choice((SECRET, [SECRET]))
    return m.encode(), secret
