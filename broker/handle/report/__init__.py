"""Intelligence reports: submit, read, find, change, withdraw, follow."""
