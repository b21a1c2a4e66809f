"""What to do about each reason, in a sentence or two. A test holds this table against `entente.error.v1.Reason`."""

from __future__ import annotations

_RENEW = "Get a fresh token: `entente doctor` shows what token_command, token_file or issuer yields."
_RESTART = "Start again without the page token or cursor; the conditions must stay the same from page to page."
_AGAIN = "Nothing was released. Try again later; a write may be repeated with the same idempotency key."

ADVICE: dict[str, str] = {
    "CERTIFICATE_INVALID": "Ask your authority for a certificate of the agencies' profile: one SPIFFE URI, clientAuth, "
    "a life of at most 90 days.",
    "CERTIFICATE_EXPIRED": "Renew the certificate and point the profile's certificate and key at the new one.",
    "CERTIFICATE_REVOKED": "Ask your authority why it was revoked, and for a new certificate and key.",
    "TLS_VERSION_REFUSED": "Use a client library that speaks TLS 1.3.",
    "TOKEN_MISSING": "Set token_command, token_file or issuer in the profile.",
    "TOKEN_MALFORMED": "Check what token_command or token_file yields: one access token (JWT) and nothing else.",
    "TOKEN_INVALID": "Ask the token's issuer for one whose audience is this broker.",
    "TOKEN_EXPIRED": _RENEW + " Check this machine's clock too.",
    "TOKEN_NOT_BOUND": "Get a token for the certificate of this profile; a token works with one certificate only.",
    "ISSUER_NOT_ALLOWED": "Use your own agency's token issuer.",
    "AGENCY_UNKNOWN": "Ask the broker's operator to enrol your agency.",
    "USER_REVOKED": "Ask your agency's administrator why your rights here were revoked. A new token does not help.",
    "AGENCY_LOCKED": "Your agency is locked: nothing of it is served. Your agency's administrator speaks with the "
    "broker's registrars; two of them lift the lock.",
    "TOKEN_REVOKED": "Get a fresh token; if that one is refused too, ask your agency's administrator who revoked it.",
    "METHOD_UNKNOWN": "Use an SDK of the broker's version.",
    "METHOD_NOT_PERMITTED": "See with `entente whoami` what your role may do; a colleague's role may allow it.",
    "PURPOSE_NOT_PERMITTED": "See with `entente whoami` the purposes that your token allows, and state one of them.",
    "ON_BEHALF_NOT_PERMITTED": "Name a party of the token's `act` chain, or nobody.",
    "NOT_FOUND": "Check the id. A record that you may not see gives this same answer.",
    "NOT_ORIGINATOR": "Ask the record's originator to change it.",
    "ETAG_STALE": "Fetch the record again, apply the change to what it is now, and send it with the new etag.",
    "IDEMPOTENCY_KEY_REUSED": "Use a fresh UUID for each new write; repeat a key only with the very same request.",
    "RECORD_RETRACTED": "Submit a new report; a retracted one stays as it is.",
    "EXTERNAL_REFERENCE_EXISTS": "Find the record by its external reference and amend it.",
    "WRITE_IN_PROGRESS": "Send the same request again with the same idempotency key.",
    "SECOND_PERSON_NEEDED": "Ask a colleague who may do so to approve; nobody approves an own proposal.",
    "PROPOSAL_CLOSED": "Make a new proposal: this one was approved, rejected or has lapsed.",
    "STEP_MISSING": "Do the step before this one first; the message names it.",
    "REQUEST_MALFORMED": "Send well-formed protobuf, text in UTF-8, one message.",
    "REQUEST_INVALID": "Correct the fields that are named and send the request again.",
    "REQUEST_TOO_LARGE": "Split the report: a request holds at most 1 MiB.",
    "TOO_MANY_MESSAGES": "Send one message to a unary method.",
    "FIELD_UNKNOWN": "Use an SDK of the broker's version, or leave the field out.",
    "MARKS_TOO_LOOSE": "Raise the portion's marks or lower the record's: a portion is never looser than its container.",
    "CURSOR_INVALID": _RESTART,
    "UPDATE_MASK_INVALID": "Name fields of the report's first level, or header.marks, header.review_date, "
    "header.external_references or header.derived_from.",
    "ANSWER_TOO_LARGE": "Ask for a smaller page.",
    "LIMIT_EXCEEDED": "Ask for less at once, as the message says; or wait, then ask less often.",
    "ACKNOWLEDGEMENT_OVERDUE": "Acknowledge each batch within 5 s; resume from the last cursor.",
    "STREAM_EXPIRED": "Renew token or certificate and resume from the last cursor.",
    "AGREEMENT_ENDED": "Ask again, or resume from the last cursor: what remains allowed is delivered. "
    "`entente agreement list` says what ended.",
    "CALL_TOO_LONG": "Ask for less at once: a smaller page, fewer conditions.",
    "CANCELLED": "Ask again, with a longer deadline if it had passed.",
    "POLICY_UNAVAILABLE": _AGAIN,
    "LEDGER_UNAVAILABLE": _AGAIN,
    "STORE_UNAVAILABLE": _AGAIN,
    "SHUTTING_DOWN": "Connect again.",
    "REVOCATIONS_UNAVAILABLE": "Nothing is served while it cannot be known what is revoked. Try again later; if it "
    "lasts, tell the broker's operator.",
    "ISSUER_UNAVAILABLE": "The broker has had no answer from your agency's issuer for too long. Tell the issuer's "
    "operator; try again later.",
    "INTERNAL": "Tell the broker's operator and quote the exchange id.",
    # The SDK's own.
    "NO_ANSWER": "Check endpoint and network with `entente config explain`, and that the broker runs.",
    "DEADLINE_EXCEEDED": "Allow more time. A write may have happened: repeat it with the same idempotency key.",
    "NO_CERTIFICATE": "Set certificate and key in the profile: the broker speaks with enrolled agencies only.",
    "CERTIFICATE_REFUSED": "Use a certificate that an authority known to this broker has issued and not revoked.",
    "SERVER_UNTRUSTED": "Set ca to the authority of this broker. If it is right, somebody else answers: do not go on.",
    "SERVER_NAME_WRONG": "Set endpoint or server_name to a name that the broker's certificate bears.",
    "TLS_FAILED": "Check that the endpoint is a broker that speaks TLS 1.3.",
    "TOKEN_SOURCE": "Run token_command by hand, or look at token_file: it yields one access token and nothing else.",
    "CERTIFICATE_RENEWAL": "Run renew_command by hand, or renew certificate and key otherwise: the old one has ended.",
    "STATE_FOLDER": "Make the folder that is named writable for this user; XDG_STATE_HOME chooses another.",
    "LOGIN_NEEDED": "Log in: `entente login`.",
    "LOGIN_REFUSED": "Ask the issuer's operator whether this client may use this grant, scope and resource.",
    "LOGIN_ENDED": "Log in again: `entente login`.",
    "USAGE": "Correct the command: `--help` after it says what it takes.",
    "AGREEMENT_INVALID": "Correct the file; `entente agreement check FILE` says all that is wrong with it.",
    "EXPORT_FILE": "Choose another file, or go on with what was begun: `--resume` and the same conditions.",
    "EXPORT_MALFORMED": "Do not rely on the file: it is not what the broker answered. Export again.",
    "ISSUER_UNTRUSTED": "Set issuer_ca to the authority of the issuer's certificate. If it is right, do not go on.",
    "ISSUER_NO_ANSWER": "Check issuer and network, and that the issuer runs; `entente doctor` looks step by step.",
    "ISSUER_ODD": "Tell the issuer's operator: the answer is not what the standard asks for.",
    "RECEIPT_MISSING": "Do not use the data. Report it: an answer without a receipt is outside the ledger.",
    "RECEIPT_UNKNOWN_LOG": "Check log_key in the profile against the key that the broker's operator publishes. "
    "If it is right, do not go on.",
    "RECEIPT_STALE": "Check this machine's clock. If it is right, an old answer was replayed: report it.",
}


def advice_for(reason: str, otherwise: str) -> str:
    """What to do about a reason; `otherwise` for one that this SDK does not know."""
    return ADVICE.get(reason, otherwise)
