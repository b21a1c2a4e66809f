"""How much one agency may use, so that the others do not feel it."""
