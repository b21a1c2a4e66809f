"""What is revoked, and by whom."""
