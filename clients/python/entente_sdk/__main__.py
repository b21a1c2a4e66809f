"""`python -m entente_sdk`: the command line."""

from entente_sdk.cli import main

if __name__ == "__main__":
    main()
