"""Chart of the results; requires matplotlib (extra `bench`)."""

from collections.abc import Sequence
from typing import Any


def draw(results: Sequence[dict[str, Any]], path: str) -> None:
    """
    Write a PNG with the messages per second of naive, eventwriter and limit for each kind, and the freshness.

    Raises:
        SystemExit: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise SystemExit("--chart requires matplotlib; install it with: pip install 'eventwriter[bench]'") from None
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (rates, waits) = plt.subplots(1, 2, figsize=(11, 4.5), width_ratios=(3, 1), layout="constrained")
    names = [result["kind"] for result in results]
    bars = (
        ("naive script", "#b0b7c3", lambda r: (r["naive"] or {}).get("messages_per_s")),
        ("eventwriter", "#2563eb", lambda r: r["drain"]["messages_per_s"]),
        ("limit: COPY alone", "#94d2a4", lambda r: (r["limit"] or {}).get("messages_per_s")),
    )
    for at, (label, colour, value) in enumerate(bars):
        heights = [value(result) or 0 for result in results]
        drawn = rates.bar([n + (at - 1) * 0.27 for n in range(len(names))], heights, 0.25, label=label, color=colour)
        rates.bar_label(drawn, [f"{h / 1000:.0f}k" if h >= 10_000 else f"{h / 1000:.1f}k" for h in heights], fontsize=8)
    rates.set_xticks(range(len(names)), names, rotation=30, ha="right")
    rates.set_ylabel("messages per second")
    rates.yaxis.set_major_formatter(lambda value, _: f"{value / 1000:.0f}k")
    rates.set_title("Backlog drained, end to end, one worker" if _one(results) else "Backlog drained, end to end")
    rates.legend(frameon=False)
    fresh = [result for result in results if result["freshness"]]
    for at, (key, colour) in enumerate((("p50_ms", "#93c5fd"), ("p95_ms", "#3b82f6"), ("p99_ms", "#1e3a8a"))):
        places = [n + (at - 1) * 0.27 for n in range(len(fresh))]
        waits.bar(places, [r["freshness"][key] for r in fresh], 0.25, label=key.removesuffix("_ms"), color=colour)
    waits.set_xticks(range(len(fresh)), [result["kind"] for result in fresh], rotation=60, ha="right")
    waits.set_ylabel("ms")
    waits.set_title("Published → committed")
    if fresh:
        waits.legend(frameon=False)
    for axes in (rates, waits):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


def _one(results: Sequence[dict[str, Any]]) -> bool:
    return all(result["workers"] == 1 for result in results)
