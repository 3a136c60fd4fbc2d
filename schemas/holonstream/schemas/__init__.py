"""What crosses a boundary: events, tokens, the catalogue of event types, and the fold from events to states.

Pure: no server, nothing of ours is imported.
"""
