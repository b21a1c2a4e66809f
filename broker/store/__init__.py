"""Records, mark sets and the directory. Only this package knows SQL; no record is read without a Grant."""
