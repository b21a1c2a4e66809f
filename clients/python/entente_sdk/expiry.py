"""When to warn that a certificate ends: 60, 30, 7 and 1 days before, as far as its whole life is clearly longer."""

from __future__ import annotations

WARNING_DAYS = (1, 7, 30, 60)
DAY_SECONDS = 86400
# A certificate that lives for 30 days would else be warned of from its first day.
_OF_LIFE = 0.9


def warning_days(left_seconds: float, life_seconds: float) -> int | None:
    """The narrowest of the limits that has been crossed; 0 when it has ended, None when there is time."""
    if left_seconds <= 0:
        return 0
    limits = [days for days in WARNING_DAYS if days * DAY_SECONDS < life_seconds * _OF_LIFE]
    return next((days for days in limits if left_seconds <= days * DAY_SECONDS), None)


def span(seconds: float) -> str:
    """`12 days`, `5 hours`, `90 s`: as exact as a person needs."""
    size = abs(seconds)
    if size >= 2 * DAY_SECONDS:
        return f"{size / DAY_SECONDS:.0f} days"
    if size >= 2 * 3600:
        return f"{size / 3600:.0f} hours"
    return f"{size / 60:.0f} minutes" if size >= 120 else f"{size:.0f} s"
