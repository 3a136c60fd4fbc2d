"""Verification: the log folded anew and held against what the graph and the cache have.

``holonstream verify graph`` (`holonstream.verify.graph`) and ``holonstream verify cache`` (`holonstream.verify.cache`).
"""
