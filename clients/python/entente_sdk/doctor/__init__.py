"""`entente doctor`: from the configuration to the ledger's key, step by step, each with a cause and a fix."""
