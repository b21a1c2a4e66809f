"""Who calls: a certificate that fits the profile, and a token bound to it."""
