"""What crosses a boundary: events, tokens, the catalogue of event types, and the fold from events to states.

Pure: talks to no server, and imports no other part of holonstream.
"""
