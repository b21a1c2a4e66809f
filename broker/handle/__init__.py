"""The work of each call: `Call -> Answer`. Handlers return stored items, never finished responses."""
