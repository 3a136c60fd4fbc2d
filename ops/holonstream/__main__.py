"""``python -m holonstream``."""

from holonstream.ops.cli import main

main()
