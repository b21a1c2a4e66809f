"""The attack suite: what must be refused, tried from outside over real TLS (docs/attack-suite.md)."""
