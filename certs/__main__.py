"""`python -m certs`: make a development authority and what it issues.

Prints the paths that it wrote, or the token; never a private key. Ends with status 2 and one line for a wrong name,
and never overwrites a root.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from cryptography import x509

from certs import trial
from certs.authority import AgencyCredentials, Authority
from certs.issuer import DEFAULT_AUDIENCE, LONGEST_LIFE_SECONDS
from certs.network import create as create_network
from certs.profiles import DEFAULT_LIFE, LIST_LIFE, LOCAL_HOSTS

app = typer.Typer(add_completion=False, no_args_is_help=True, help="The development authority. Not for production.")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The authority's folder.")]
Agency = Annotated[str, typer.Argument(metavar="TRUST_DOMAIN/AGENCY", help="Such as police.example/northshire.")]
Days = Annotated[int, typer.Option(help="Life in days, at most 89.")]


class Clearance(StrEnum):
    """How high a person may read."""

    OFFICIAL = "OFFICIAL"
    SECRET = "SECRET"
    TOP_SECRET = "TOP_SECRET"


@app.command()
def init(directory: Folder) -> None:
    """Make a new root."""
    typer.echo(_attempt(lambda: Authority.create(directory)).root)


@app.command()
def broker(
    directory: Folder,
    name: Annotated[str, typer.Option(help="The certificate's common name.")] = "broker",
    host: Annotated[list[str] | None, typer.Option(help="DNS name or address; repeat. Default: this machine.")] = None,
    days: Days = DEFAULT_LIFE.days,
) -> None:
    """Issue the broker's server certificate."""
    hosts = host or list(LOCAL_HOSTS)
    issued = _attempt(lambda: Authority.open(directory).issue_broker(name, hosts, life=timedelta(days=days)))
    typer.echo(issued.certificate)
    typer.echo(issued.key)


@app.command()
def agency(
    directory: Folder,
    agency: Agency,
    workload: Annotated[str, typer.Option(help="The system that calls.")] = "gateway",
    days: Days = DEFAULT_LIFE.days,
) -> None:
    """Issue an agency's client certificate, and on the first call its token issuer."""

    def issue() -> AgencyCredentials:
        trust_domain, name = _split(agency)
        return Authority.open(directory).issue_agency(trust_domain, name, workload=workload, life=timedelta(days=days))

    issued = _attempt(issue)
    for path in (issued.certificate, issued.key, issued.issuer_key, issued.jwks):
        typer.echo(path)


@app.command()
def sign(
    directory: Folder,
    request: Annotated[Path, typer.Argument(metavar="REQUEST.pem", help="A certificate signing request (PKCS #10).")],
    agency: Annotated[str, typer.Option(metavar="TRUST_DOMAIN/AGENCY", help="Whose request it is.")],
    workload: Annotated[str, typer.Option(help="The system that calls.")] = "gateway",
    days: Days = DEFAULT_LIFE.days,
) -> None:
    """Print a client certificate for a request; the key stays where the request was made."""

    def issue() -> bytes:
        authority, (trust_domain, name) = Authority.open(directory), _split(agency)
        return authority.sign_request(
            request.read_bytes(), trust_domain, name, workload=workload, life=timedelta(days=days)
        )

    typer.echo(_attempt(issue).decode("ascii"), nl=False)


@app.command()
def revoke(
    directory: Folder,
    certificate: Annotated[str, typer.Argument(metavar="CERT|SERIAL", help="A certificate's file, or its serial.")],
) -> None:
    """Put a certificate on the authority's revocation list."""
    typer.echo(_attempt(lambda: Authority.open(directory).revoke(_serial(certificate))))


@app.command()
def revocations(directory: Folder, days: Annotated[int, typer.Option(min=1, max=365)] = LIST_LIFE.days) -> None:
    """Sign the revocation list again, before it passes its end."""
    typer.echo(_attempt(lambda: Authority.open(directory).renew_revocations(life=timedelta(days=days))))


@app.command()
def token(
    directory: Folder,
    agency: Agency,
    user: Annotated[str, typer.Option(help="Who asks.")],
    role: Annotated[list[str] | None, typer.Option(help="Repeat for several.")] = None,
    clearance: Clearance = Clearance.OFFICIAL,
    purpose: Annotated[list[str] | None, typer.Option(help="Repeat for several.")] = None,
    nationality: Annotated[list[str] | None, typer.Option(help="Repeat for several.")] = None,
    on_behalf_of: Annotated[list[str] | None, typer.Option(help="For whom; nearest first.")] = None,
    audience: Annotated[str, typer.Option(help="The broker's audience.")] = DEFAULT_AUDIENCE,
    life: Annotated[int, typer.Option(help="Seconds.", min=1, max=LONGEST_LIFE_SECONDS)] = LONGEST_LIFE_SECONDS,
) -> None:
    """Print a token bound to the agency's certificate."""

    def mint() -> str:
        issuer = Authority.open(directory).agency(*_split(agency)).token_issuer()
        return issuer.mint(
            user,
            roles=role or (),
            clearance=clearance.value,
            purposes=purpose or (),
            nationalities=nationality or (),
            on_behalf_of=on_behalf_of or (),
            audience=audience,
            life_seconds=life,
        )

    typer.echo(_attempt(mint))


@app.command()
def network(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The network's folder.")],
    listen: Annotated[str, typer.Option(help="Where the broker will listen.")] = "127.0.0.1:8443",
    workers: Annotated[int, typer.Option(help="For `serve --workers`: clients get every log's key.", min=1)] = 1,
) -> None:
    """Make a whole development network: authority, broker, five parties, and a profile for each person."""
    made = _attempt(lambda: create_network(directory, listen, workers=workers))
    typer.echo(made.broker_config)
    typer.echo(made.client_config)


@app.command("trial-issuer")
def trial_issuer(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where its key is kept.")],
) -> None:
    """Make a small token issuer for a trial, and print where its public keys are."""
    typer.echo(_attempt(lambda: trial.create(directory)))


@app.command("trial-token")
def trial_token(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The trial issuer's folder.")],
    issuer: Annotated[str, typer.Option(help="The issuer's URL, as it is registered.")],
    certificate: Annotated[Path, typer.Option(help="The certificate that the token is for.")],
    user: Annotated[str, typer.Option(help="Who asks.")],
    role: Annotated[list[str] | None, typer.Option(help="Repeat for several.")] = None,
    clearance: Clearance = Clearance.OFFICIAL,
    purpose: Annotated[list[str] | None, typer.Option(help="Repeat for several.")] = None,
    nationality: Annotated[list[str] | None, typer.Option(help="Repeat for several.")] = None,
    audience: Annotated[str, typer.Option(help="The broker's audience.")] = DEFAULT_AUDIENCE,
) -> None:
    """Print a token of a trial issuer, bound to a certificate."""

    def mint() -> str:
        return trial.token_issuer(directory, issuer, certificate).mint(
            user,
            roles=role or (),
            clearance=clearance.value,
            purposes=purpose or (),
            nationalities=nationality or (),
            audience=audience,
        )

    typer.echo(_attempt(mint))


Result = TypeVar("Result")


def _serial(certificate: str) -> int:
    if Path(certificate).is_file():
        return x509.load_pem_x509_certificate(Path(certificate).read_bytes()).serial_number
    try:
        return int(certificate, 16)
    except ValueError:
        raise ValueError(f"{certificate} is neither a file nor a serial number in hexadecimal") from None


def _split(agency: str) -> tuple[str, str]:
    trust_domain, _, name = agency.partition("/")
    return trust_domain, name


def _attempt(action: Callable[[], Result]) -> Result:
    try:
        return action()
    except FileNotFoundError as error:
        raise _refuse(f"{error.filename} is missing: run init, broker or agency first") from error
    except (ValueError, OSError) as error:
        raise _refuse(str(error)) from error


def _refuse(text: str) -> typer.Exit:
    typer.echo(text, err=True)
    return typer.Exit(code=2)


if __name__ == "__main__":
    app()
