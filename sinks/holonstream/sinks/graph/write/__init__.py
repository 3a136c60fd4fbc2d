"""Writing: what a worker does with the batches of its partitions."""
