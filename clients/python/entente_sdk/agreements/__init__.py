"""Agreements on this machine: drafted from what people write, checked, signed with a profile's key, read again.

The form itself, and what contradicts itself in it, is in `entente_agreement`, which the broker uses too.
"""
