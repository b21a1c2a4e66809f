"""Who am I, and who else is there."""
