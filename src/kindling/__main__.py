"""`python -m kindling`, the same as the `kindling` command."""

from kindling.cli import main

main()
