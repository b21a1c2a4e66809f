"""The command line, `entente`. Each command or group is one module, listed in `MODULES`.

To add a command: write a module with `register(app)`, and name it in `MODULES`. Exit codes are in `cli/command.py`.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

import typer

MODULES = (
    "whoami",
    "login",
    "doctor",
    "report",
    "hits",
    "import_",
    "agency",
    "agreement",
    "appoint",
    "revoke",
    "policy",
    "audit",
    "explain",
    "whatif",
    "receipt",
    "rule",
    "config",
    "demo",
    "extensions",
)


def application() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Share intelligence between agencies: field by field, and on record.",
    )
    for name in MODULES:
        import_module(f"{__name__}.{name}").register(app)
    return app


# The only TLS 1.2 suite on offer needs a pre-shared key, which nobody holds: what is left is TLS 1.3, whose suites are
# not governed by this list. gRPC's Python interface has no minimum version.
CIPHER_VARIABLE, UNUSABLE_TLS12_SUITE = "GRPC_SSL_CIPHER_SUITES", "ECDHE-PSK-CHACHA20-POLY1305"


def main() -> None:
    """Run it, with TLS 1.3 only. A reader that hung up (`| head`) ends it quietly."""
    # Before anything imports grpc, which reads it once; a command that serves relies on it too.
    os.environ[CIPHER_VARIABLE] = UNUSABLE_TLS12_SUITE
    try:
        application()()
    except BrokenPipeError:
        # Python flushes stdout at exit, and would complain there once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
