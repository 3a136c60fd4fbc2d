"""``holonstream demo``: the whole pipeline on this machine, with real events and visible progress."""
