"""Reading: the graph store, and the reads that writing and recovery share with it."""
