"""Silent hits: who looked for what an agency holds."""
