"""The development authority: certificates and tokens for a laptop, a test and the demo. Never for production."""
