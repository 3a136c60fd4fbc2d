"""The command ``holonstream``, also as ``python -m holonstream``. Without the extra ``cli`` it says what to type."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit."""
    try:
        from holonstream.ops.cli import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        if (error.name or "holonstream").partition(".")[0] == "holonstream":
            raise  # a bug in holonstream
        sys.exit(f"error: The package {error.name} is not installed, type: pip install 'holonstream[cli]'")
    run()


if __name__ == "__main__":
    main()
