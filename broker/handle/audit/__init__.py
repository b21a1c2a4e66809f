"""For auditors: who saw what, with proof."""
