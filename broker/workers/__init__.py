"""One broker in several processes: a supervisor, and a worker for each slot, on one port (docs/operating.md)."""
