"""What workers share is made once, before any of them starts: made by several at once, each would have its own.

Guarantees: afterwards the store is at the newest schema, the operator's directory can be read under the policy that
stands, and there are the keys of every slot's log, the sealing keys and the keys of cursors and pseudonyms, so that a
worker finds all of it and makes none.

`python -m broker.workers.prepare --workers N` makes the keys of the logs alone and prints the public ones, so that
clients have them before there are so many workers. It may be run while the broker serves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from broker.agreements import read_directory, require_form
from broker.audit.seal import SealKeys
from broker.config import Config, load
from broker.domain.clock import Clock
from broker.domain.slot import Slot
from broker.keys import cursor_key, log_signer, pseudonym_key
from broker.policy import standing
from broker.store.store import Store


def slots_for(workers: int) -> list[Slot]:
    """A slot for each worker, and where there are several the one that a rolling restart needs, last."""
    return [Slot(number) for number in range(workers + 1 if workers > 1 else 1)]


def log_keys(config: Config, workers: int) -> list[str]:
    """The public keys of all logs, made where they are absent. Raises ValueError (a key of another name), OSError."""
    data, name = config.broker.data, config.broker.name
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    return [str(log_signer(data, name, slot).verifier) for slot in slots_for(workers)]


def prepare(config: Config, workers: int, clock: Clock) -> None:
    """Blocks. Raises ConfigError (directory, policy), ValueError (a key of another name), NewerSchemaError, OSError."""
    require_form(config)
    log_keys(config, workers)
    data = config.broker.data
    SealKeys.open(data / "keys")
    cursor_key(data)
    pseudonym_key(data)
    store = Store.open(data / "store.db", clock)
    try:
        read_directory(config, standing(config.policy, store), clock)
    finally:
        store.close()


def main(config: Annotated[Path, typer.Option()], workers: Annotated[int, typer.Option(min=1)]) -> None:
    """Print the public keys of the logs of so many workers, a line each."""
    for key in log_keys(load(config), workers):
        print(key)


if __name__ == "__main__":
    application = typer.Typer(pretty_exceptions_enable=False)
    application.command()(main)
    application()
