"""The operator's log: JSON lines on standard error, each written at once, so that several processes may share it.

Guarantees: events, ids and reasons, never a value from a record.
"""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import EventDict

from broker.domain.slot import Slot


def log_to_stderr(slot: Slot | None = None) -> None:
    """Set the log up for this process. A worker's lines name its slot."""

    def name_slot(_logger: object, _method: str, event: EventDict) -> EventDict:
        if slot is not None:
            event.setdefault("slot", slot.number)
        return event

    structlog.configure(
        processors=[
            name_slot,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
