"""The development authority: what it issues fits the profile, its keys are private, and its files are whole."""

from __future__ import annotations

import stat
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from typer.testing import CliRunner

from broker.domain.caller import AgencyId
from broker.domain.clock import SystemClock
from broker.domain.errors import IdentityError
from broker.identify.caller import Identifier
from broker.identify.certificate import CertificateProfile
from broker.identify.issuers import IssuerEntry, Issuers
from broker.identify.revocation_list import RevocationLists, read_lists
from broker.identify.roots import TrustRoots
from broker.identify.standing import Standing
from broker.identify.token import TokenVerifier
from certs.__main__ import app
from certs.authority import AgencyCredentials, Authority
from certs.issuer import DEFAULT_AUDIENCE


def identifier(authority: Authority, *agencies: AgencyCredentials) -> Identifier:
    clock = SystemClock()
    entries = [IssuerEntry(each.issuer, AgencyId(each.trust_domain, each.agency), each.jwks) for each in agencies]
    profile = CertificateProfile(
        TrustRoots.from_pem(authority.root.read_bytes()),
        RevocationLists(read_lists(authority.revocations.read_bytes()), oldest_hours=720),
        {each.trust_domain for each in agencies},
        clock,
    )
    return Identifier(profile, TokenVerifier(Issuers(entries), DEFAULT_AUDIENCE, clock), Standing(clock))


def connection(credentials: AgencyCredentials) -> dict[str, list[bytes]]:
    return {"x509_pem_cert": [credentials.certificate.read_bytes()], "ssl_tls_version": [b"TLSv1.3"]}


def test_what_it_issues_is_a_caller(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    issued = authority.issue_agency("police.example", "northshire")
    token = issued.token_issuer().mint(
        "o.reyes", roles=["analyst"], clearance="SECRET", purposes=["CRIME_PREVENTION"], nationalities=["GB"]
    )
    identify = identifier(authority, issued)
    caller = identify.identify(identify.peer(connection(issued)), [("authorization", f"Bearer {token}")])
    assert (str(caller.agency), caller.workload, caller.user) == ("police.example/northshire", "gateway", "o.reyes")
    assert caller.roles == {"analyst"}
    assert caller.on_behalf_of == ()
    identify.require_still_valid(caller, connection(issued))


def test_on_behalf_of_runs_from_the_nearest(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    issued = authority.issue_agency("police.example", "northshire")
    token = issued.token_issuer().mint("liaison", on_behalf_of=["home.desk", "home.unit"])
    identify = identifier(authority, issued)
    caller = identify.identify(identify.peer(connection(issued)), [("authorization", f"bearer {token}")])
    assert (caller.user, caller.on_behalf_of) == ("liaison", ("home.desk", "home.unit"))


def test_renewal_keeps_the_issuer_but_not_the_binding(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    first = authority.issue_agency("police.example", "northshire")
    old_token = first.token_issuer().mint("o.reyes")
    old_issuer_key = first.issuer_key.read_bytes()
    renewed = Authority.open(tmp_path).issue_agency("police.example", "northshire")
    assert renewed.issuer_key.read_bytes() == old_issuer_key
    identify = identifier(authority, renewed)
    with pytest.raises(IdentityError, match="TOKEN_NOT_BOUND"):
        identify.identify(identify.peer(connection(renewed)), [("authorization", f"Bearer {old_token}")])
    fresh = renewed.token_issuer().mint("o.reyes")
    assert identify.identify(identify.peer(connection(renewed)), [("authorization", f"Bearer {fresh}")])


def test_only_the_diagonal_of_tokens_and_certificates_passes(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    names = [("police.example", "northshire"), ("police.example", "southshire"), ("abroad.example", "northshire")]
    issued = [authority.issue_agency(*each) for each in names]
    identify = identifier(authority, *issued)
    for row, token_of in enumerate(issued):
        token = token_of.token_issuer().mint("o.reyes")
        for column, certificate_of in enumerate(issued):
            metadata = [("authorization", f"Bearer {token}")]
            if row == column:
                caller = identify.identify(identify.peer(connection(certificate_of)), metadata)
                assert caller.agency.agency == token_of.agency
            else:
                with pytest.raises(IdentityError, match="ISSUER_NOT_ALLOWED"):
                    identify.identify(identify.peer(connection(certificate_of)), metadata)


def test_keys_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "dev")
    authority.issue_broker()
    authority.issue_agency("police.example", "northshire")
    secret = [path for path in tmp_path.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert sorted(path.name for path in secret) == ["authority.key", "issuer.key", "key.pem", "key.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}
    assert not list(tmp_path.rglob(".*"))


def test_root_is_never_overwritten(tmp_path: Path) -> None:
    root = Authority.create(tmp_path).root.read_bytes()
    with pytest.raises(FileExistsError):
        Authority.create(tmp_path)
    assert (tmp_path / "root.pem").read_bytes() == root


def test_broker_certificate_serves_the_named_hosts_and_cannot_call(tmp_path: Path) -> None:
    issued = Authority.create(tmp_path).issue_broker("broker", ["broker.example", "192.0.2.1", "::1"])
    certificate = x509.load_pem_x509_certificate(issued.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["broker.example"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1", "::1"]
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.SERVER_AUTH]


@pytest.mark.parametrize(
    "name", [("..", "a"), ("a.example", ".."), ("a.example", "a/b"), ("", "a"), ("A.example", "a")]
)
def test_bad_names_make_no_file(tmp_path: Path, name: tuple[str, str]) -> None:
    authority = Authority.create(tmp_path)
    with pytest.raises(ValueError, match="lower-case"):
        authority.issue_agency(*name)
    assert not (tmp_path / "agencies").exists()


def test_lives_are_limited(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    with pytest.raises(ValueError, match="at most 89 days"):
        authority.issue_agency("police.example", "northshire", life=timedelta(days=90))
    issuer = authority.issue_agency("police.example", "northshire").token_issuer()
    with pytest.raises(ValueError, match="300 seconds"):
        issuer.mint("o.reyes", life_seconds=301)


def test_the_commands_make_a_usable_agency(tmp_path: Path) -> None:
    run, folder, agency = CliRunner(), str(tmp_path / "dev"), "police.example/northshire"
    assert run.invoke(app, ["init", folder]).exit_code == 0
    assert run.invoke(app, ["broker", folder, "--name", "broker"]).exit_code == 0
    assert run.invoke(app, ["agency", folder, agency]).exit_code == 0
    options = ["--user", "o.reyes", "--role", "analyst", "--clearance", "SECRET", "--purpose", "CRIME_PREVENTION"]
    minted = run.invoke(app, ["token", folder, agency, *options])
    assert minted.exit_code == 0
    authority = Authority.open(tmp_path / "dev")
    credentials = authority.agency("police.example", "northshire")
    metadata = [("authorization", f"Bearer {minted.output.strip()}")]
    identify = identifier(authority, credentials)
    caller = identify.identify(identify.peer(connection(credentials)), metadata)
    assert (caller.clearance, caller.purposes) == ("SECRET", {"CRIME_PREVENTION"})


@pytest.mark.parametrize(
    "arguments",
    [["token", "police.example/nobody", "--user", "u"], ["agency", "nonsense"], ["agency", "a.example/../b"]],
)
def test_a_command_that_cannot_be_done_says_why(tmp_path: Path, arguments: list[str]) -> None:
    Authority.create(tmp_path)
    command, *rest = arguments
    result = CliRunner().invoke(app, [command, str(tmp_path), *rest])
    assert result.exit_code == 2
    assert result.output.count("\n") == 1


def test_a_network_for_workers_has_every_logs_key_in_its_profiles(tmp_path: Path) -> None:
    """Two workers have three logs; without all three keys a client refuses what another worker answers."""
    made = CliRunner().invoke(app, ["network", str(tmp_path / "net"), "--workers", "2"])
    assert made.exit_code == 0, made.output
    profiles = tomllib.loads((tmp_path / "net/client.toml").read_text())["profiles"]
    keys = [path.read_text().strip() for path in (tmp_path / "net/data").glob("log*.vkey")]
    assert len(keys) == 3
    assert all(sorted(profile["log_key"]) == sorted(keys) for profile in profiles.values())
