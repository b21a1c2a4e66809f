"""The Python SDK of Entente: typed, in two colours, and it hands over nothing that is not on the ledger.

    from entente_sdk import Entente, Justification, ReportQuery

    with Entente.from_profile() as entente:
        for found in entente.reports.search(ReportQuery(name="Ana Lime")):
            print(found.report.title, found.disclosure.withheld)

`AsyncEntente` is the same with `async with`, `async for` and `await`. Guarantees: mutual TLS only; every answer's
receipt is verified on the received bytes before its data is handed over; writes are repeated under one idempotency key.
Errors are one tree, drawn in `entente_sdk.errors`.

Names are loaded when they are first used: gRPC reads its TLS settings once, when it is imported, and the command line
has to set them before.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from entente_sdk._async.client import AsyncEntente
    from entente_sdk._async.pages import AsyncPages
    from entente_sdk._async.subscription import AsyncBatch, AsyncSubscription
    from entente_sdk._sync.client import Entente
    from entente_sdk._sync.pages import Pages
    from entente_sdk._sync.subscription import Batch, Subscription
    from entente_sdk.answers import Answer, Checkpoint, Receipt
    from entente_sdk.errors import (
        AlreadyExistsError,
        ConfigurationError,
        ConflictError,
        DecisionError,
        EntenteError,
        HandshakeError,
        IdentityError,
        InternalError,
        LimitError,
        NotFoundError,
        PreconditionError,
        ReceiptError,
        RequestError,
        UnavailableError,
    )
    from entente_sdk.export import Exported, verify_export
    from entente_sdk.justification import Justification
    from entente_sdk.profile import Profile
    from entente_sdk.queries import AuditQuery, ReportQuery
    from entente_sdk.reports import load_report, parse_report
    from entente_sdk.retries import RetryPolicy
    from entente_sdk.settings import load_profile

_MODULES = {
    "AlreadyExistsError": "errors",
    "Answer": "answers",
    "AsyncBatch": "_async.subscription",
    "AsyncEntente": "_async.client",
    "AsyncPages": "_async.pages",
    "AsyncSubscription": "_async.subscription",
    "AuditQuery": "queries",
    "Batch": "_sync.subscription",
    "Checkpoint": "answers",
    "ConfigurationError": "errors",
    "ConflictError": "errors",
    "DecisionError": "errors",
    "Entente": "_sync.client",
    "EntenteError": "errors",
    "Exported": "export",
    "HandshakeError": "errors",
    "IdentityError": "errors",
    "InternalError": "errors",
    "Justification": "justification",
    "LimitError": "errors",
    "NotFoundError": "errors",
    "Pages": "_sync.pages",
    "PreconditionError": "errors",
    "Profile": "profile",
    "Receipt": "answers",
    "ReceiptError": "errors",
    "ReportQuery": "queries",
    "RequestError": "errors",
    "RetryPolicy": "retries",
    "Subscription": "_sync.subscription",
    "UnavailableError": "errors",
    "load_profile": "settings",
    "load_report": "reports",
    "parse_report": "reports",
    "verify_export": "export",
}

__all__ = [
    "AlreadyExistsError",
    "Answer",
    "AsyncBatch",
    "AsyncEntente",
    "AsyncPages",
    "AsyncSubscription",
    "AuditQuery",
    "Batch",
    "Checkpoint",
    "ConfigurationError",
    "ConflictError",
    "DecisionError",
    "Entente",
    "EntenteError",
    "Exported",
    "HandshakeError",
    "IdentityError",
    "InternalError",
    "Justification",
    "LimitError",
    "NotFoundError",
    "Pages",
    "PreconditionError",
    "Profile",
    "Receipt",
    "ReceiptError",
    "ReportQuery",
    "RequestError",
    "RetryPolicy",
    "Subscription",
    "UnavailableError",
    "load_profile",
    "load_report",
    "parse_report",
    "verify_export",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
