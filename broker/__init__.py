"""Entente: the broker. `pipeline.py` is the way through the house."""
