"""A development network in one folder: an authority, a broker, four agencies and an inspectorate.

    DIR/authority/...      keys and certificates, as `certs.authority` lays them out
    DIR/broker.toml        the broker's configuration, for `entente serve --config`
    DIR/directory.toml     who is on the network
    DIR/agreements/...     what they have agreed, signed by all parties
    DIR/client.toml        one profile for each person below, for `ENTENTE_CONFIG`
    DIR/network.toml       what an agency that joins is given: where the broker is, and which keys to trust

Everything in it is invented. Five parties, from street to strategic and abroad:
a neighbourhood officer's force, a regional unit, the national agency, a foreign agency, and the inspectorate. Beside
them the network's staff: two registrars at the national agency, and the force's administrator.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from certs import agreements, policy_key
from certs.agreements import Terms
from certs.authority import Authority
from certs.files import PUBLIC_MODE, SECRET_MODE, write_atomically
from certs.issuer import DEFAULT_AUDIENCE
from certs.profiles import LIST_LIFE
from entente_tlog.note import Signer

BROKER_NAME = "broker.entente.example"

OPERATIONAL = ("CRIME_PREVENTION", "INVESTIGATION", "INTELLIGENCE_DEVELOPMENT", "THREAT_TO_LIFE", "FRAUD")


@dataclass(frozen=True, slots=True)
class Party:
    """A person, and the agency that they work for. `profile` is their name in client.toml."""

    profile: str
    user: str
    agency: str
    display_name: str
    country: str
    level: str
    roles: tuple[str, ...]
    clearance: str
    purposes: tuple[str, ...] = OPERATIONAL
    purpose: str = "INVESTIGATION"
    parent: str = ""
    compartments: tuple[str, ...] = field(default=())
    inspectorate: bool = False


PARTIES = (
    Party(
        profile="neighbourhood",
        user="pc.rowan.ash",
        agency="police.example/northshire",
        display_name="Northshire Police, neighbourhood team",
        country="GB",
        level="LOCAL",
        roles=("officer", "source_handler"),
        clearance="SECRET",
        parent="police.example/national-agency",
    ),
    Party(
        profile="regional",
        user="ds.wren.hollis",
        agency="police.example/north-region",
        display_name="Northern Regional Organised Crime Unit",
        country="GB",
        level="REGIONAL",
        roles=("analyst",),
        clearance="SECRET",
        parent="police.example/national-agency",
    ),
    Party(
        profile="national",
        user="senior.analyst.tarn",
        agency="police.example/national-agency",
        display_name="National agency",
        country="GB",
        level="NATIONAL",
        roles=("analyst", "officer"),
        clearance="TOP_SECRET",
        compartments=("op-lantern",),
    ),
    Party(
        profile="liaison",
        user="liaison.mara.dune",
        agency="justitie.example/haven-police",
        display_name="Haven Police, liaison bureau",
        country="NL",
        level="INTERNATIONAL",
        roles=("liaison_officer",),
        clearance="SECRET",
    ),
    Party(
        profile="auditor",
        user="inspector.vale",
        agency="police.example/inspectorate",
        display_name="Inspectorate",
        country="GB",
        level="NATIONAL",
        roles=("inspector",),
        clearance="SECRET",
        purposes=("AUDIT",),
        purpose="AUDIT",
        inspectorate=True,
    ),
)


def _of(agency: str, profile: str, user: str, role: str) -> Party:
    """One more person of an agency above, who runs the network and reads no report."""
    colleague = next(party for party in PARTIES if party.agency == agency)
    return replace(
        colleague,
        profile=profile,
        user=user,
        roles=(role,),
        clearance="OFFICIAL",
        purposes=("ADMINISTRATION",),
        purpose="ADMINISTRATION",
    )


# Who keeps the registry: two, because a change of it needs two; and an agency's own administrator.
STAFF = (
    _of("police.example/national-agency", "registrar", "registrar.ivo.marsh", "registrar"),
    _of("police.example/national-agency", "second-registrar", "registrar.thea.quill", "registrar"),
    _of("police.example/northshire", "administrator", "admin.linnet.shaw", "administrator"),
)

# Roles that count only for those whom the directory appoints.
APPOINTED = ("auditor", "inspector", "registrar")
APPOINTMENTS = tuple(
    (party.agency, party.user, role) for party in (*PARTIES, *STAFF) for role in party.roles if role in APPOINTED
)

AGREEMENTS = (
    Terms(
        "north-local",
        "Northshire and its region",
        ("police.example/northshire", "police.example/north-region"),
        OPERATIONAL,
        "SECRET",
    ),
    Terms(
        "north-national",
        "Northshire and the national agency",
        ("police.example/northshire", "police.example/national-agency"),
        OPERATIONAL,
        "SECRET",
    ),
    Terms(
        "region-national",
        "The region and the national agency",
        ("police.example/north-region", "police.example/national-agency"),
        OPERATIONAL,
        "TOP_SECRET",
    ),
    Terms(
        "haven-treaty",
        "Haven and the national agency",
        ("justitie.example/haven-police", "police.example/national-agency"),
        ("INVESTIGATION", "INTELLIGENCE_DEVELOPMENT", "THREAT_TO_LIFE"),
        "SECRET",
    ),
    Terms(
        "haven-north",
        "Haven and Northshire",
        ("justitie.example/haven-police", "police.example/northshire"),
        ("INVESTIGATION", "THREAT_TO_LIFE"),
        "OFFICIAL",
    ),
)


@dataclass(frozen=True, slots=True)
class Network:
    """Where a development network's files lie."""

    directory: Path
    listen: str

    @property
    def broker_config(self) -> Path:
        return self.directory / "broker.toml"

    @property
    def client_config(self) -> Path:
        return self.directory / "client.toml"

    @property
    def ledger(self) -> Path:
        return self.directory / "data" / "ledger"

    @property
    def log_key(self) -> str:
        """The public key of a single process's log, as clients pin it."""
        return self.logs[self.ledger]

    @property
    def log_keys(self) -> tuple[str, ...]:
        """The public keys of all logs, as clients pin them."""
        return tuple(self.logs.values())

    @property
    def logs(self) -> dict[Path, str]:
        """The folder of each log, and its public key, by slots. A log that no worker has opened yet has no folder."""
        keys = sorted((self.directory / "data").glob("log*.vkey"), key=lambda path: (len(path.stem), path.stem))
        return {
            path.with_name(path.stem.replace("log", "ledger", 1)): path.read_text(encoding="ascii").strip()
            for path in keys
        }


def create(
    directory: Path,
    listen: str = "127.0.0.1:8443",
    *,
    engine: str = "embedded",
    opa_url: str = "",
    workers: int = 1,
    limits: Mapping[str, int] | None = None,
) -> Network:
    """Make the folder's contents, for a broker of so many workers. Raises FileExistsError over an authority.

    `limits` are keys of the configuration's `[limits]`.
    """
    authority = Authority.create(directory / "authority")
    server = authority.issue_broker()
    for party in PARTIES:
        authority.issue_agency(*party.agency.split("/"))
    log_keys = _log_keys(directory / "data", workers)

    domains = sorted({party.agency.partition("/")[0] for party in PARTIES})
    lines = [
        "[broker]",
        f'name = "{BROKER_NAME}"',
        f'listen = "{listen}"',
        'data = "data"',
        'directory = "directory.toml"',
        f'audience = "{DEFAULT_AUDIENCE}"',
        f"trust_domains = {_list(domains)}",
        "",
        "[tls]",
        f'certificate = "{server.certificate.relative_to(directory)}"',
        f'key = "{server.key.relative_to(directory)}"',
        f'roots = "{server.root.relative_to(directory)}"',
        f'revocation_lists = ["{authority.revocations.relative_to(directory)}"]',
        f"revocation_list_hours = {int(LIST_LIFE.total_seconds()) // 3600}",
        "",
        "[policy]",
        f'engine = "{engine}"',
        f'verification_key = "{policy_key.create(directory / "authority").relative_to(directory)}"',
        *([f'url = "{opa_url}"'] if opa_url else []),
        *(["", "[limits]"] if limits else []),
        *(f"{key} = {value}" for key, value in (limits or {}).items()),
    ]
    for party in PARTIES:
        credentials = authority.agency(*party.agency.split("/"))
        lines += [
            "",
            "[[issuers]]",
            f'agency = "{party.agency}"',
            f'issuer = "{credentials.issuer}"',
            f'jwks = "{credentials.jwks.relative_to(directory)}"',
        ]
    clients: list[str] = []
    for party in (*PARTIES, *STAFF):
        credentials = authority.agency(*party.agency.split("/"))
        clients += [
            f"[profiles.{party.profile}]",
            f'endpoint = "{listen}"',
            f'ca = "{credentials.root.absolute()}"',
            f'certificate = "{credentials.certificate.absolute()}"',
            f'key = "{credentials.key.absolute()}"',
            f"token_command = {_quoted(token_command(directory, party))}",
            f"log_key = {_list(log_keys)}",
            f'purpose = "{party.purpose}"',
            'case_reference = "OP LANTERN"',
            "",
        ]
    write_atomically(directory / "broker.toml", ("\n".join(lines) + "\n").encode(), PUBLIC_MODE)
    write_atomically(directory / "client.toml", "\n".join(clients).encode(), PUBLIC_MODE)
    for terms in AGREEMENTS:
        agreements.write(directory / "agreements", authority, terms.document())
    write_atomically(directory / "directory.toml", _directory().encode(), PUBLIC_MODE)
    newcomers = _for_newcomers(listen, authority.root.read_text(encoding="ascii"), log_keys)
    write_atomically(directory / "network.toml", newcomers.encode(), PUBLIC_MODE)
    return Network(directory, listen)


def _log_keys(data: Path, workers: int) -> list[str]:
    """Make a key for each log; the public ones. With several workers there is a log more, for rolling restarts."""
    public: list[str] = []
    for slot in range(workers + 1 if workers > 1 else 1):
        name, origin = (f"log-{slot}", f"{BROKER_NAME}/{slot}") if slot else ("log", BROKER_NAME)
        signer = Signer.generate(origin)
        write_atomically(data / f"keys/{name}.key", signer.private_text().encode(), SECRET_MODE)
        write_atomically(data / f"{name}.vkey", f"{signer.verifier}\n".encode(), PUBLIC_MODE)
        public.append(str(signer.verifier))
    return public


def token_command(directory: Path, party: Party) -> str:
    """A shell command that prints a token for this person."""
    words = [sys.executable, "-m", "certs", "token", str((directory / "authority").absolute()), party.agency]
    words += ["--user", party.user, "--clearance", party.clearance, "--nationality", party.country]
    for role in party.roles:
        words += ["--role", role]
    for purpose in party.purposes:
        words += ["--purpose", purpose]
    return shlex.join(words)


def token(directory: Path, party: Party) -> str:
    """The same token, made here."""
    credentials = Authority.open(directory / "authority").agency(*party.agency.split("/"))
    return credentials.token_issuer().mint(
        party.user,
        roles=party.roles,
        clearance=party.clearance,
        purposes=party.purposes,
        nationalities=(party.country,),
    )


def _for_newcomers(listen: str, root_pem: str, log_keys: list[str]) -> str:
    """What registrars hand to an agency that joins (`entente agency join --network`)."""
    lines = [
        f'endpoint = "{listen}"',
        f'audience = "{DEFAULT_AUDIENCE}"',
        f"log_keys = {_list(log_keys)}",
        f'root = """\n{root_pem}"""',
    ]
    return "\n".join(lines) + "\n"


def _directory() -> str:
    lines = ['agreements = ["agreements/*.json"]', ""]
    for party in PARTIES:
        lines += [
            "[[agencies]]",
            f'name = "{party.agency}"',
            f'display_name = "{party.display_name}"',
            f'country = "{party.country}"',
            f'level = "{party.level}"',
            f'parent = "{party.parent}"',
            f'contact = "desk@{party.agency.partition("/")[2]}.example"',
            f"compartments = {_list(party.compartments)}",
            f"inspectorate = {str(party.inspectorate).lower()}",
            "",
        ]
    for agency, user, role in APPOINTMENTS:
        lines += ["[[appointments]]", f'agency = "{agency}"', f'user = "{user}"', f'role = "{role}"', ""]
    return "\n".join(lines)


def _list(values: tuple[str, ...] | list[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
