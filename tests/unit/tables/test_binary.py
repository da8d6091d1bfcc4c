"""PostgreSQL's binary forms, held against psycopg's own."""

import datetime as dt
import ipaddress
from decimal import Decimal

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import PyFormat, Transformer

from eventwriter.formats.json import fits_numeric
from eventwriter.tables import binary


def psycopg_form(value: object) -> bytes:
    dumped = Transformer().dump_sequence([value], [PyFormat.BINARY])[0]
    assert dumped is not None
    return bytes(dumped)


@given(st.decimals() | st.decimals(-(10**6), 10**6, places=9))
def test_numeric(value: Decimal) -> None:
    """Every decimal has the form that psycopg gives it, read back as the same number."""
    read = psycopg.adapters.get_loader(1700, psycopg.pq.Format.BINARY)
    assert read is not None
    back = read(1700).load(binary.numeric(value))

    if value.is_nan():
        assert back.is_nan()
    else:
        assert (value, max(0, -value.as_tuple().exponent) if value.is_finite() else None) == (
            back, -back.as_tuple().exponent if back.is_finite() else None,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "fits"),
    [("1e131071", True), ("1e131072", False), ("1e-16383", True), ("1e-16384", False), ("NaN", True), ("0", True)],
)
def test_limits_of_numeric(text: str, fits: bool) -> None:
    """What numeric cannot hold is told before its digits are spelled out."""
    assert fits == fits_numeric(Decimal(text))


@pytest.mark.parametrize("text", ["10.0.0.1", "10.0.0.1/8", "::1", "2001:db8::1/64", "::ffff:1.2.3.4/96"])
def test_inet(text: str) -> None:
    """An address has the form that psycopg gives it."""
    address = ipaddress.ip_interface(text) if "/" in text else ipaddress.ip_address(text)

    assert psycopg_form(address) == binary.inet(text)


@pytest.mark.parametrize("text", ["fe80::1%eth0", "10.0.0", "", "10.0.0.1/33"])
def test_no_inet(text: str) -> None:
    """What is no address, or has a zone, is refused."""
    with pytest.raises(ValueError, match=r"zone|IPv4"):
        binary.inet(text)


@given(st.timedeltas(dt.timedelta(days=-10_000), dt.timedelta(days=10_000)))
def test_interval_of_seconds(span: dt.timedelta) -> None:
    """Seconds in exact text become that many microseconds."""
    us = span // dt.timedelta(microseconds=1)

    assert us.to_bytes(8, "big", signed=True) + bytes(8) == binary.interval(str(Decimal(us) / 10**6))


@pytest.mark.parametrize(
    ("text", "months", "days", "us"),
    [
        ("P1Y2M", 14, 0, 0),
        ("P2W1D", 0, 15, 0),
        ("PT1H2M3.5S", 0, 0, 3_723_500_000),
        ("PT0,5S", 0, 0, 500_000),
        ("-P1DT1S", 0, -1, -1_000_000),
        ("3 days 04:05", 0, 3, 14_700_000_000),
        ("-04:05:06.7", 0, 0, -14_706_700_000),
    ],
)
def test_interval_of_text(text: str, months: int, days: int, us: int) -> None:
    """Months, days and the rest stay apart."""
    expected = us.to_bytes(8, "big", signed=True) + days.to_bytes(4, "big", signed=True) + months.to_bytes(4, "big")

    assert expected == binary.interval(text)


@pytest.mark.parametrize(
    "value", ["P", "PT", "P1", "1 fortnight", "", "1e99", "nan", "P9999999999D", float("inf"), "1:60"]
)
def test_no_interval(value: str | float) -> None:
    """What is no duration, or longer than an interval holds, is refused."""
    with pytest.raises(ValueError):
        binary.interval(value)


def test_array() -> None:
    """An array says whether it has NULLs, its elements' type and number; an empty one has no dimension."""
    assert bytes.fromhex("00000001 00000001 00000017 00000002 00000001 00000004 00000007 ffffffff") == binary.array(
        23, [binary.INT4(7), None]
    )
    assert bytes.fromhex("00000000 00000000 00000017") == binary.array(23, [])
