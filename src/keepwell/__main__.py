"""`python -m keepwell`."""

from keepwell.cli import main

if __name__ == "__main__":
    main()
