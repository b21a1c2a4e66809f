"""Times on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

import typer


def moment(text: str) -> datetime:
    """ISO 8601; a date alone is its midnight; without a zone, UTC. Raises typer.BadParameter."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a time such as 2026-01-31 or 2026-01-31T08:30:00Z") from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
