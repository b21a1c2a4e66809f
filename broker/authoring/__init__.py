"""What writes, tests and ships a policy: for its authors, at the command line. No call is served from here."""
