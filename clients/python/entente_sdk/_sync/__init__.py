# Generated from `_async/` by scripts/unasync_sdk.py: do not edit.
"""The client, in the colour of its folder. `_async` is the source; `_sync` is generated from it, never edited."""
