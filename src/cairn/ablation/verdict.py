"""One sentence a row: what the evidence allows one to say, and no more."""

from __future__ import annotations

from cairn.ablation.evidence import PARTS, SPARSE, Evidence, Findings
from cairn.bootstrap import LEVEL, Interval


def verdict(row: str, reference: str | None, findings: Findings) -> str:
    """Return the sentence on a tested row: GAP against its reference's, and whose gain it is."""
    if reference is None or row not in findings.changes:
        return "nothing to compare with: where the comparison starts"
    change = findings.changes[row]
    gap = change.overall["gap"]
    runs = f"{change.seeds} seed{'s' * (change.seeds != 1)}"
    caution = "" if change.seeds > 1 else "; one seed says nothing of another training"
    if gap.low is None:
        return f"{gap.value:+.3f} GAP, {runs}, without an interval{caution}"
    direction = _direction(gap)
    if direction == 0:
        queries = sum(findings.num_queries.get(part, 0) for part in PARTS)
        apart = _apart(change, findings)
        asked = f"{runs} and {queries} landmark queries"
        return f"{_told(gap)}): no evidence either way with {asked}{apart}{caution}"
    verb = "helps here" if direction > 0 else "hurts here"
    return f"{_told(gap)}, {runs}): {verb}{_where(change, findings, direction)}{caution}"


def _told(change: Interval) -> str:
    return f"{change.value:+.3f} GAP ({LEVEL * 100:.0f} % {_range(change)}"


def _range(change: Interval) -> str:
    return f"{change.low:+.3f} to {change.high:+.3f}"


def _direction(change: Interval) -> int:
    """Return 1 where the whole interval is above 0, -1 where it is below, else 0."""
    if change.low is not None and change.low > 0:
        return 1
    if change.high is not None and change.high < 0:
        return -1
    return 0


def _where(change: Evidence, findings: Findings, direction: int) -> str:
    """Return at which landmarks the change is seen."""
    sides = _sides(change, findings)
    if len(sides) < 2:
        return ""
    seen = [name for name, one in sides.items() if _direction(one) == direction]
    against = [name for name, one in sides.items() if _direction(one) == -direction]
    told = ", ".join(f"{name} {one.value:+.3f} ({_range(one)})" for name, one in sides.items())
    word = "gain" if direction > 0 else "loss"
    if against:
        return f"; {against[0]} landmarks go the other way: {told}"
    if len(seen) == 2:
        larger = max(sides, key=lambda name: abs(sides[name].value * findings.num_queries[name]))
        return f"; the {word} is at sparse and crowded landmarks alike, most of it {larger}: {told}"
    if len(seen) == 1:
        other = next(name for name in sides if name not in seen)
        return f"; the {word} is shown at {seen[0]} landmarks, not at {other} ones: {told}"
    return f"; at neither sparse nor crowded landmarks alone: {told}"


def _apart(change: Evidence, findings: Findings) -> str:
    """Return which kind of landmark moved although the whole did not."""
    moved = [
        f"{name} landmarks {'gain' if _direction(one) > 0 else 'lose'} ({_range(one)})"
        for name, one in _sides(change, findings).items()
        if _direction(one)
    ]
    return f"; yet {' and '.join(moved)}" if moved else ""


def _sides(change: Evidence, findings: Findings) -> dict[str, Interval]:
    names = [name for name in PARTS if findings.num_queries.get(name)]
    return {name: change.gap[name] for name in names if change.gap[name].low is not None}


def sizes_explained() -> str:
    """Return what sparse and crowded mean, for the foot of a table."""
    return (
        f"Sparse landmarks have at most {SPARSE} gallery photographs, crowded ones more; their GAP "
        "is their share of the one ranking."
    )
