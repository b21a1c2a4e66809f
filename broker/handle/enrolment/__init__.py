"""Agencies, issuers and appointments come to the network here: one proposes, another approves."""
