"""Access tokens from the agency's own issuer: OpenID Connect discovery, three OAuth grants, and the login that is kept.

The client authenticates with the agency's certificate (RFC 8705), so that tokens are bound to it.
"""
