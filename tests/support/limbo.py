"""The cases of x509-limbo, judged at two levels: by the whole certificate profile, and by path building alone.

The suite is about servers on the web: no certificate in it holds a SPIFFE id, so the profile as a whole accepts none.
At the level of the path (issuers, signatures, name constraints, validity, revocation lists) its valid chains are valid
here too, apart from those that `tests/unit/test_x509_limbo.py` lists with the reason.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from typing import Any

from cryptography import x509

from broker.domain.errors import IdentityError
from broker.identify.certificate import CertificateProfile
from broker.identify.path import NoPathError, find_path
from broker.identify.revocation_list import ListError, RevocationLists, read_lists
from broker.identify.roots import Anchor, TrustRoots
from tests.support.identities import SetClock
from tests.support.shared import shared_data

ACCEPTED = "accepted"


@dataclass(frozen=True)
class Case:
    """One case; `valid` is limbo's own verdict."""

    id: str
    valid: bool
    leaf: bytes
    chain: bytes
    roots: tuple[bytes, ...]
    lists: tuple[bytes, ...]
    seconds: int

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> Case:
        when = datetime.fromisoformat(raw["validation_time"]) if raw["validation_time"] else datetime.now(UTC)
        return cls(
            raw["id"],
            raw["expected_result"] == "SUCCESS",
            raw["peer_certificate"].encode(),
            "".join(raw["untrusted_intermediates"]).encode(),
            tuple(one.encode() for one in raw["trusted_certs"]),
            tuple(one.encode() for one in raw["crls"] or ()),
            # The broker counts in whole seconds, as RFC 5280's times are.
            int(when.timestamp()),
        )


@cache
def cases() -> tuple[Case, ...]:
    """All that lie beside the checkout."""
    found = json.loads((shared_data("x509-limbo") / "limbo.part-a.json").read_text())
    return tuple(Case.parse(one) for one in found["testcases"])


def by_profile(case: Case) -> str:
    """`ACCEPTED`, or the rule of the certificate profile that refuses; "root" where a root is none that fits."""
    with warnings.catch_warnings():
        # Serials that are not positive: the parser warns, the profile refuses.
        warnings.simplefilter("ignore")
        try:
            roots, lists = _roots(case), RevocationLists(one for file in case.lists for one in read_lists(file))
        except ListError:
            return "list"
        except ValueError:
            return "root"
        try:
            CertificateProfile(roots, lists, ["example.com"], SetClock(case.seconds)).check(case.leaf, case.chain)
        except IdentityError as error:
            return error.detail.removeprefix("rule ").partition(":")[0]
    return ACCEPTED


def by_path(case: Case) -> str:
    """`ACCEPTED`, or what the path lacks: "root", "path", "constraints", "time", "list" or "unreadable"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            roots = _roots(case).current
        except ValueError:
            return "root"
        try:
            leaf = x509.load_pem_x509_certificate(case.leaf)
            presented = x509.load_pem_x509_certificates(case.chain) if case.chain else []
            path = find_path(leaf, presented, roots)
        except NoPathError as error:
            return "constraints" if str(error).startswith("15") else "path"
        except Exception:
            return "unreadable"
    if not all(
        one.not_valid_before_utc.timestamp() <= case.seconds <= one.not_valid_after_utc.timestamp()
        for one in path.whole
    ):
        return "time"
    return ACCEPTED if not case.lists or _is_listed_as_good(case, path.whole) else "list"


def _is_listed_as_good(case: Case, whole: tuple[x509.Certificate, ...]) -> bool:
    try:
        lists = RevocationLists(one for file in case.lists for one in read_lists(file))
    except ListError:
        return False
    found = [(below, lists.of(authority)) for below, authority in pairwise(whole)]
    return all(one is not None and below.serial_number not in one.serials for below, one in found)


def _roots(case: Case) -> TrustRoots:
    return TrustRoots([Anchor(x509.load_pem_x509_certificate(one)) for one in case.roots])
