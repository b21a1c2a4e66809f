"""What a network asks of an agency that joins: who it is, and who vouches for its people."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from entente.directory.v1 import directory_pb2, enrolment_pb2
from entente_sdk.errors import ConfigurationError

BINDING = "entente-enrolment-sha256:"
LARGEST_FILE = 256 * 1024
_LONGEST_TEXT = 200
LEVELS = ("LOCAL", "REGIONAL", "NATIONAL", "INTERNATIONAL")

_NAME = re.compile(r"(?P<domain>[a-z0-9][a-z0-9.-]{0,126}[a-z0-9])/(?P<agency>[a-z0-9][a-z0-9-]{0,62})", re.ASCII)
_WORKLOAD = re.compile(r"[A-Za-z0-9._-]{1,63}", re.ASCII)
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Answers:
    """All of them; empty where not yet given. Of `jwks_uri` and `jwks` (a JWK Set's text) one is given."""

    agency: str = ""
    display_name: str = ""
    country: str = ""
    level: str = ""
    contact: str = ""
    parent: str = ""
    workload: str = "gateway"
    issuer: str = ""
    jwks_uri: str = ""
    jwks: str = ""

    def missing(self) -> list[str]:
        """What has to be asked, in the order in which it is asked."""
        needed = ["agency", "display_name", "country", "level", "contact", "issuer"]
        return [name for name in needed if not getattr(self, name)] + ([] if self.jwks_uri or self.jwks else ["keys"])

    def changed(self, given: dict[str, str]) -> Answers:
        """The same with what is given now; other keys take the former ones' place."""
        if "jwks" in given or "jwks_uri" in given:
            given = {"jwks": "", "jwks_uri": "", **given}
        return replace(self, **given)

    def require_sound(self) -> None:
        """Raises ConfigurationError that names the first of the given answers which no registry would take."""
        rules = (
            (
                "agency",
                _NAME.fullmatch(self.agency),
                "trust-domain/agency in small letters, such as police.example/fen",
            ),
            ("display_name", _is_line(self.display_name), "1 to 200 characters on one line"),
            ("country", _COUNTRY.fullmatch(self.country), "two capital letters, as in ISO 3166-1"),
            ("level", self.level in LEVELS, f"one of {', '.join(LEVELS)}"),
            ("contact", _is_line(self.contact), "1 to 200 characters on one line"),
            ("parent", _NAME.fullmatch(self.parent), "trust-domain/agency in small letters"),
            ("workload", _WORKLOAD.fullmatch(self.workload), "letters, digits, '.', '_' and '-'"),
            ("issuer", self.issuer.startswith("https://"), "the exact https URL that its tokens carry as `iss`"),
            ("jwks_uri", self.jwks_uri.startswith("https://") and not self.jwks, "an https URL, in place of a file"),
        )
        for name, sound, wanted in rules:
            if getattr(self, name) and not sound:
                raise ConfigurationError(f"{name} must be {wanted}", reason="USAGE")

    @property
    def spiffe_id(self) -> str:
        """The name that the certificate will carry."""
        domain, _, agency = self.agency.partition("/")
        return f"spiffe://{domain}/agency/{agency}/{self.workload}"

    def enrolment(self, certificate_request: str) -> enrolment_pb2.AgencyEnrolment:
        """What is proposed to the registry."""
        made = enrolment_pb2.AgencyEnrolment(
            agency=directory_pb2.Agency(
                name=self.agency,
                display_name=self.display_name,
                country=self.country,
                level=directory_pb2.AgencyLevel.Value(f"AGENCY_LEVEL_{self.level}"),
                parent=self.parent or None,
                contact=self.contact,
            ),
            certificate_request=certificate_request,
            issuer=enrolment_pb2.IssuerRegistration(agency=self.agency, url=self.issuer),
        )
        if self.jwks_uri:
            made.issuer.jwks_uri = self.jwks_uri
        else:
            made.issuer.jwks = self.jwks
        return made

    def binding(self) -> str:
        """What the key signs beside its name: the digest of the enrolment without the certificate request."""
        rest = self.enrolment("")
        rest.ClearField("certificate_request")
        return BINDING + hashlib.sha256(rest.SerializeToString(deterministic=True)).hexdigest()

    def to_json(self) -> str:
        """As the folder keeps them."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, path: Path) -> Answers:
        """Raises ConfigurationError."""
        try:
            found: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"{path} is not JSON; remove it to be asked again: {error}") from error
        known = {field.name for field in fields(cls)}
        if not isinstance(found, dict) or set(found) - known or not all(isinstance(one, str) for one in found.values()):
            raise ConfigurationError(f"{path} holds something else than the answers; remove it to be asked again")
        return cls(**found)


def _is_line(text: str) -> bool:
    return len(text) <= _LONGEST_TEXT and text.isprintable() and text == text.strip()


def read_request(path: Path) -> enrolment_pb2.AgencyEnrolment:
    """A join request that an agency sent. Raises ConfigurationError."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ConfigurationError(f"{path} is over {LARGEST_FILE // 1024} KiB: no join request is")
        found = json_format.Parse(path.read_text(encoding="utf-8"), enrolment_pb2.AgencyEnrolment())
    except (OSError, UnicodeDecodeError, json_format.ParseError) as error:
        raise ConfigurationError(f"{path} is no join request: {error}") from error
    if not all(found.HasField(name) for name in ("agency", "certificate_request", "issuer")):
        raise ConfigurationError(f"{path} is no join request: it lacks agency, certificate_request or issuer")
    return found
