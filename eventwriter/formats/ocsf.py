"""
Severity names and numbers of the Open Cybersecurity Schema Framework.

Source: OCSF schema 1.3.0, "Base Event", attribute `severity_id`.
"""

from collections.abc import Mapping

SEVERITIES: tuple[str, ...] = ("Unknown", "Informational", "Low", "Medium", "High", "Critical", "Fatal")
"""Names by `severity_id`."""

_OTHER = 99

SEVERITY_IDS: Mapping[str, int] = {
    **{name.lower(): number for number, name in enumerate(SEVERITIES)},
    "info": 1, "debug": 1, "trace": 1, "notice": 2, "minor": 2, "warn": 3, "warning": 3, "err": 4, "error": 4,
    "major": 4, "crit": 5, "very high": 5, "very_high": 5,
    "alert": 5, "emerg": 6, "emergency": 6, "panic": 6,
    "healthy": 1, "degraded": 3, "unhealthy": 5, "offline": 5,
}  # fmt: skip
"""`severity_id` by lower-case name: the severities of OCSF, syslog and rule engines, and the states of gateways."""


def severity_id_of(word: str | None) -> int | None:
    """Return the `severity_id` of a severity name, or None if the name is unknown."""
    return SEVERITY_IDS.get(word.strip().lower()) if word else None


def severity_name(severity_id: int) -> str:
    """Return the name of a `severity_id`: 99 is "Other", a number that OCSF does not define is "Unknown"."""
    if 0 <= severity_id < len(SEVERITIES):
        return SEVERITIES[severity_id]
    return "Other" if severity_id == _OTHER else SEVERITIES[0]
