"""Verification: the log folded anew and held against what the graph and the cache have.

``holonstream verify graph`` (`ops.verify.graph`) and ``holonstream verify cache`` (`ops.verify.cache`).
"""
