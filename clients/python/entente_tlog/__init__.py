"""The ledger's formats: written by the broker, verified by the SDK and by an offline auditor.

Standard library and `cryptography` only. Nothing here knows of gRPC, of policy or of a database.

| module | format |
|---|---|
| `merkle` | RFC 6962 hashes and tree; RFC 9162 proof verification |
| `note` | C2SP signed-note (Ed25519) |
| `checkpoint` | C2SP tlog-checkpoint |
| `tiles` | C2SP tlog-tiles: paths, hash tiles, entry bundles |
| `proof` | C2SP tlog-proof |
| `commitment` | salted commitments in a leaf |
| `receipt` | the receipt at the end of every response |
| `verify` | a whole log directory, every entry rehashed |
"""
