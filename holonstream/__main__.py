"""``python -m holonstream``."""

from holonstream.cli import main

main()
