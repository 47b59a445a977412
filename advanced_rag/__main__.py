"""`python -m advanced_rag`: the one entry point of the command line."""

from advanced_rag.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
