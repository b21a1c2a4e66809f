"""Exchanges in words."""
