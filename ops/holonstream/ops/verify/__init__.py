"""Verification: fold the log again and compare the result with what the graph and the cache hold.

``holonstream verify graph`` (`ops.verify.graph`) and ``holonstream verify cache`` (`ops.verify.cache`).
"""
