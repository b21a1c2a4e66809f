"""What agencies have agreed on, and how it ends."""
