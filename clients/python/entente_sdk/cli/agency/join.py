"""`entente agency join`: an agency comes to a network, from an empty machine, at its own pace.

Run it as often as you like: it shows how far the agency has come, and goes on from there.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from entente_sdk._sync.client import Entente
from entente_sdk.cli.agency.partnering import partner_with, show_steps
from entente_sdk.cli.command import expected_errors
from entente_sdk.cli.session import RETRY, console, print_table, say, say_receipt
from entente_sdk.errors import ConfigurationError, EntenteError
from entente_sdk.joining.answers import LEVELS, Answers
from entente_sdk.joining.fingerprint import grouped
from entente_sdk.joining.folder import JoinFolder
from entente_sdk.joining.network import NetworkFile, add_profile, read_network
from entente_sdk.settings import config_path, load_profile

QUESTIONS = {
    "agency": "Your agency on the network, trust-domain/agency (such as police.example/fenmoor)",
    "display_name": "What people call it",
    "country": "Its country (two capital letters as in ISO 3166-1, such as GB)",
    "level": f"Its level ({', '.join(LEVELS)})",
    "contact": "Whom to ask: a post, a phone number or an address that stays",
    "issuer": "The issuer of your people's tokens: its exact https URL (`iss`)",
    "keys": "Its keys: the https URL where it publishes them (jwks_uri), or a file with a JWK Set",
}

Folder = Annotated[Path, typer.Argument(metavar="[DIR]", help="Where everything is kept. Guard it: the key is in it.")]
Text = Annotated[str | None, typer.Option(help="Asked for, where it is not given.")]
File = Annotated[Path | None, typer.Option(help="The issuer's keys as a file, in place of --jwks-uri.")]
Yes = Annotated[bool, typer.Option("--yes", help="Ask nothing: what is missing is an error.")]
Certificate = Annotated[Path | None, typer.Option(help="What the authority issued for the request.")]
Network = Annotated[Path | None, typer.Option(help="network.toml, as the registrars gave it out.")]
ProfileName = Annotated[str | None, typer.Option(help="Of the profile that is written; default: the agency's id.")]
TokenCommand = Annotated[str | None, typer.Option(help="A command that prints a token of a person.")]
TokenFile = Annotated[Path | None, typer.Option(help="A file that holds a current token.")]
IssuerCa = Annotated[
    Path | None, typer.Option(help="With --client-id: the issuer's authority in PEM, where it is not a public one.")
]
ClientId = Annotated[str | None, typer.Option(help="As your issuer knows this client: then `entente login` works.")]
Partner = Annotated[
    str | None, typer.Option(metavar="AGENCY", help="Draft an agreement with this agency, and simulate it.")
]
Purpose = Annotated[str | None, typer.Option(help="The usual purpose of the profile's calls.")]


@dataclass(frozen=True, slots=True)
class Tokens:
    """Where the profile's tokens come from; one of them is given."""

    command: str | None
    file: Path | None
    client_id: str | None
    issuer_ca: Path | None

    def settings(self, answers: Answers, network: NetworkFile) -> dict[str, Any]:
        """As the profile says it. Raises ConfigurationError."""
        if sum(bool(one) for one in (self.command, self.file, self.client_id)) != 1:
            raise ConfigurationError("give one of --token-command, --token-file and --client-id", reason="USAGE")
        if self.issuer_ca and not self.client_id:
            raise ConfigurationError("--issuer-ca goes with --client-id", reason="USAGE")
        if self.issuer_ca and not self.issuer_ca.is_file():
            raise ConfigurationError(f"--issuer-ca: there is no file {self.issuer_ca}", reason="USAGE")
        if self.command:
            return {"token_command": shlex.split(self.command)}
        if self.file:
            return {"token_file": str(self.file.absolute())}
        made = {"issuer": answers.issuer, "client_id": self.client_id, "resource": network.audience}
        return {**made, "issuer_ca": str(self.issuer_ca.absolute())} if self.issuer_ca else made


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("join")
    def join(
        folder: Folder = Path("entente-join"),
        agency: Text = None,
        display_name: Text = None,
        country: Text = None,
        level: Text = None,
        contact: Text = None,
        parent: Annotated[str | None, typer.Option(help="The agency that it belongs to, if any.")] = None,
        workload: Annotated[str | None, typer.Option(help="The system that calls. Default: gateway.")] = None,
        issuer: Text = None,
        jwks_uri: Text = None,
        jwks: File = None,
        yes: Yes = False,
        certificate: Certificate = None,
        network: Network = None,
        token_command: TokenCommand = None,
        token_file: TokenFile = None,
        client_id: ClientId = None,
        issuer_ca: IssuerCa = None,
        purpose: Purpose = None,
        profile_name: ProfileName = None,
        partner: Partner = None,
    ) -> None:
        """Join a network: first make the key and the request; later, with --certificate and --network, call; then, with
        --partner, draft an agreement and see what it would change."""
        with expected_errors():
            texts = {
                "agency": agency,
                "display_name": display_name,
                "country": country,
                "level": level and level.upper(),
                "contact": contact,
                "parent": parent,
                "workload": workload,
                "issuer": issuer,
                "jwks_uri": jwks_uri,
                "jwks": jwks and _jwks(jwks),
            }
            place = JoinFolder(folder)
            prepare(place, {name: text for name, text in texts.items() if text}, ask=not yes)
            name = profile_name or place.answers().agency.partition("/")[2]
            if partner is not None:
                if not place.certificate.exists():
                    raise ConfigurationError("first the certificate, and a first call; then --partner", reason="USAGE")
                partner_with(place, partner, name)
                return
            if certificate is None and network is None:
                _say_what_is_next(place)
                return
            if certificate is None or network is None:
                raise ConfigurationError("--certificate and --network go together", reason="USAGE")
            tokens = Tokens(token_command, token_file, client_id, issuer_ca)
            finish(place, certificate, read_network(network), tokens, name, purpose)


def prepare(place: JoinFolder, given: dict[str, str], *, ask: bool) -> None:
    """Answers, key and request: whatever of them is not there yet. Raises ConfigurationError."""
    answers = place.answers().changed(given)
    missing = answers.missing()
    if missing and not ask:
        options = ", ".join(
            "--jwks-uri or --jwks" if one == "keys" else f"--{one.replace('_', '-')}" for one in missing
        )
        raise ConfigurationError(f"still to be answered: {options}", reason="USAGE")
    place.keep(answers)
    for name in missing:
        answers = _asked(place, answers, name)
    if place.make_key():
        say(f"Made the key of {answers.agency}: {place.key} (nobody else can read it; it stays on this machine)")
    if place.make_request():
        say(f"Wrote the request: {place.request}")


def finish(
    place: JoinFolder, certificate: Path, network: NetworkFile, tokens: Tokens, name: str, purpose: str | None
) -> None:
    """Certificate, profile, first call. Raises EntenteError."""
    try:
        pem = certificate.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{certificate} cannot be read: {error.strerror}") from error
    given = tokens.settings(place.answers(), network)
    place.take_certificate(pem, network.root.encode())
    say(f"The certificate is for this key and comes from the network's authority: {place.certificate}")
    settings: dict[str, Any] = {
        "endpoint": network.endpoint,
        "ca": str(place.root),
        "certificate": str(place.certificate),
        "key": str(place.key),
        **given,
        "log_key": list(network.log_keys),
    }
    if purpose:
        settings["purpose"] = purpose
    if add_profile(config_path(), name, settings):
        say(f"Wrote the profile {name!r} into {config_path()}")
    try:
        _first_call(name, place.path)
    except EntenteError as error:
        if error.reason != "LOGIN_NEEDED":
            raise
        say("What is left is to log in, and to run this command again: it makes the first call.", "bold")
        say(f"    entente login --profile {shlex.quote(name)}")


def _first_call(name: str, folder: Path) -> None:
    """Whoever is let in is told what the agency may do."""
    with Entente(load_profile(name), retry=RETRY) as entente:
        answer = entente.directory.who_am_i()
    me = answer.message
    say(f"The broker takes you for {me.user} of {me.agency}, with the roles {', '.join(me.roles) or 'none'}.", "bold")
    if me.unappointed_roles:
        say(f"Roles that do not count yet, until two registrars appoint: {', '.join(me.unappointed_roles)}", "yellow")
    allowed = [may.method.rpartition("/")[2] for may in me.capabilities if may.allowed]
    print_table(
        (), [("may call", ", ".join(allowed) or "nothing"), ("shares with", ", ".join(me.partners) or "nobody")]
    )
    if not me.partners:
        say("Without an agreement little is shared. Draft one, and see what it would change:")
        say(f"    entente agency join {shlex.quote(str(folder))} --partner AGENCY")
    say_receipt(answer.receipt)
    say(f"The agency is on the network. Use it with --profile {name}, or ENTENTE_PROFILE={name}.", "bold")


def _say_what_is_next(place: JoinFolder) -> None:
    answers = place.answers()
    print_table(
        (), [("agency", answers.agency), ("name asked for", answers.spiffe_id), ("request", str(place.request))]
    )
    say("")
    say("The key's fingerprint, to be read back by phone to EACH of two registrars, who call you:", "bold")
    for line in grouped(place.fingerprint):
        console().print(f"    {line}", soft_wrap=True)
    say("")
    if place.certificate.exists():
        say("The certificate is here. Run this command again with --certificate and --network to call once more.")
        show_steps(place)
        return
    say("What happens next:")
    say(f"  1. Send {place.request.name} to the registrars (it holds nothing secret).")
    say("  2. Two of them call you, each by a number that they know, and you read the fingerprint to each.")
    say("  3. They approve, have the request signed, and send you the certificate and network.toml.")
    say(f"  4. entente agency join {shlex.quote(str(place.path))} --certificate FILE --network network.toml")
    say("     and where your people's tokens come from: --client-id, --token-command or --token-file.")


def _asked(place: JoinFolder, answers: Answers, name: str) -> Answers:
    """Ask until the answer is sound, and keep it at once: whoever stops here goes on here."""
    while True:
        try:
            changed = answers.changed(_answer(name, typer.prompt(QUESTIONS[name]).strip()))
            place.keep(changed)
        except ConfigurationError as error:
            say(error.message, "yellow")
        else:
            return changed


def _answer(name: str, text: str) -> dict[str, str]:
    if name != "keys":
        return {name: text.upper() if name == "level" else text}
    return {"jwks_uri": text} if text.startswith("https://") else {"jwks": _jwks(Path(text))}


def _jwks(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
