"""The console: pages for operators, and the read API, in one ASGI server that writes nothing to any store.

Who may ask is decided in one place, `access`, before anything else runs. `limits` bounds how many requests are under
way and for how long. Errors are problem+json (`problems`).

What many open pages show is asked once: the `watch` polls the pipeline, the `feed` follows the log, and each page
gets what these found. So a thousand open pages cost the stores what one does. A reader's own question (a holon, a
traversal) costs what it costs in a client; at most `limits.AT_ONCE` of them are under way.
"""
