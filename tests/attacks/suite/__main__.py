"""`python -m tests.attacks.suite`: attack a broker of its own, or the deployment that is named.

Ends with 0 where everything ended as it must, 1 where it did not, 2 where it could not begin. Attack only what you may
attack: the floods make a broker busy, and each refusal is on its ledger under your agency's name.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from broker.identify.tls import require_tls13

# grpc reads its TLS settings once, when it is first imported.
require_tls13()

from entente_tlog.receipt import LogKey  # noqa: E402
from tests.attacks.suite.case import End, Need  # noqa: E402
from tests.attacks.suite.judge import judged_by_sslyze  # noqa: E402
from tests.attacks.suite.report import Report  # noqa: E402
from tests.attacks.suite.target import Identity, Target, identity_from_files, mint_from_files  # noqa: E402
from tests.attacks.suite.whole import against, own_broker  # noqa: E402
from tests.support.live import live_broker  # noqa: E402

REVOCATION_ROUNDS = 5


def main() -> int:
    """Run, print, and say by the exit status how it ended."""
    given = arguments().parse_args()
    try:
        report = asyncio.run(_foreign(given) if given.target else _own())
    except (OSError, ValueError, ConnectionError) as error:
        print(f"the suite could not begin: {error}", file=sys.stderr)
        return 2
    print(report)
    return 0 if report.good else 1


async def _own() -> Report:
    with tempfile.TemporaryDirectory(prefix="entente-attack-") as folder:
        report = await own_broker(Path(folder) / "network", beside=judged_by_sslyze)
        report.notes += await _revocation_figures(Path(folder) / "revocation")
        return report


async def _revocation_figures(folder: Path) -> list[str]:
    """How long a revoked caller is served on, as the benchmark measures it over two workers."""
    from tests.bench.revocation import HEAD, measure_revocation

    starting = live_broker(folder, workers=2)
    broker = await asyncio.to_thread(starting.__enter__)
    try:
        measured = await measure_revocation(broker, rounds=REVOCATION_ROUNDS)
    finally:
        await asyncio.to_thread(starting.__exit__, None, None, None)
    return ["revocation, over two workers:", HEAD, *(figures.row() for figures in measured)]


async def _foreign(given: argparse.Namespace) -> Report:
    return await against(await deployment(given))


async def deployment(given: argparse.Namespace) -> Target:
    """What the arguments name. Raises ValueError where it does not serve a good call."""
    target = Target(
        given.target,
        given.ca.read_bytes(),
        [_identity(given)],
        _offers(given),
        tuple(LogKey.parse(key) for key in given.log_key),
        server_name=given.server_name or given.target.rpartition(":")[0],
    )
    first = await target.good() if Need.TOKEN in target.offers else await target.ask()
    if first.end is not End.ACCEPTED and first.reason != "TOKEN_MISSING":
        raise ValueError(f"a good call must pass first; this one ended as: {first}")
    return target


def _identity(given: argparse.Namespace) -> Identity:
    mint = None
    if given.issuer_key:
        mint = mint_from_files(given.certificate, given.issuer_key, given.issuer, given.audience)
    ready = given.token.read_text().strip() if given.token else ""
    identity = identity_from_files(given.certificate, given.key, mint=mint)
    return Identity(identity.agency, identity.certificate, identity.key, mint, ready)


def _offers(given: argparse.Namespace) -> frozenset[Need]:
    found = {Need.VECTORS, Need.PROCESS}
    if given.issuer_key:
        found |= {Need.ISSUER_KEY, Need.TOKEN}
    if given.token:
        found.add(Need.TOKEN)
    return frozenset(found)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.suite", description=__doc__)
    parser.add_argument("--target", help="HOST:PORT; without it the suite starts a broker of its own")
    parser.add_argument("--server-name", default="", help="the name in the target's certificate, if not HOST")
    parser.add_argument("--ca", type=Path, help="the network's root, in PEM")
    parser.add_argument("--certificate", type=Path, help="your agency's client certificate, in PEM")
    parser.add_argument("--key", type=Path, help="its key, in PEM")
    parser.add_argument("--token", type=Path, help="a file with a valid token of yours")
    parser.add_argument("--issuer-key", type=Path, help="your token issuer's P-256 key, in PEM: most token cases")
    parser.add_argument("--issuer", default="", help="its `iss`")
    parser.add_argument("--audience", default="", help="the broker's `aud`")
    parser.add_argument("--log-key", action="append", default=[], help="the log's public key; repeat")
    return parser


if __name__ == "__main__":
    sys.exit(main())
