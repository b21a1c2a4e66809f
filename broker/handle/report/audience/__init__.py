"""Who would see what of a report."""
