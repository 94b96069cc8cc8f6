"""`python -m streams.cli` is `triage`."""

from streams.cli import main

main()
