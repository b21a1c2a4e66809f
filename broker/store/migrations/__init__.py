"""Revisions of the schema, each written out: what a revision makes never changes after its release."""
