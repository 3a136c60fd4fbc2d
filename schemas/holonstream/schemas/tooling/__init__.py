"""What only ``holonstream schemas`` needs: check, compare and document event schemas, and start new ones.

Needs the extra ``[cli]``. Nothing that runs in the pipeline imports it.
"""
