"""How alembic runs here: on the connection that the store gives it, inside the store's transaction."""

from __future__ import annotations

from alembic import context

from broker.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
