"""How far two clocks may be apart; pure."""

from eventwriter.doctor.findings import Finding, Voice

WARN_S, FAIL_S = 2.0, 60.0
"""Seconds: lag is shown wrong by as much; a minute is no drift but a clock that nobody sets."""


def skew(voice: Voice, whose: str, ahead_s: float) -> Finding:
    """Judge how far a server's clock is ahead of this host's; seconds, negative where it is behind."""
    if abs(ahead_s) < WARN_S:
        return voice.ok(f"this host's and {whose}'s differ by {abs(ahead_s) * 1000:.0f} ms")
    said = f"{whose}'s is {abs(ahead_s):,.1f} s {'ahead of' if ahead_s > 0 else 'behind'} this host's"
    hint = "set both by NTP (chrony, systemd-timesyncd); lag and rows without a time of their own show the difference"
    return (voice.fail if abs(ahead_s) >= FAIL_S else voice.warn)(said, hint)
