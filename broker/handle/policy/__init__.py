"""Which policy is in force."""
