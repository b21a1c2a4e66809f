"""The Python SDK of Entente: typed, in two colours, and it hands over nothing that is not on the ledger.

    from entente_sdk import Entente, Justification, ReportQuery

    with Entente.from_profile() as entente:
        for found in entente.reports.search(ReportQuery(name="Ana Lime")):
            print(found.report.title, found.disclosure.withheld)

`AsyncEntente` is the same with `async with`, `async for` and `await`. Guarantees: mutual TLS only; every answer's
receipt is verified on the received bytes before its data is handed over; writes are repeated under one idempotency key.
Errors are one tree, drawn in `entente_sdk.errors`.
"""

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
from entente_sdk.justification import Justification
from entente_sdk.profile import Profile
from entente_sdk.queries import AuditQuery, ReportQuery
from entente_sdk.reports import load_report, parse_report
from entente_sdk.retries import RetryPolicy
from entente_sdk.settings import load_profile

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
]
