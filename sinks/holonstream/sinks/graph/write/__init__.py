"""Writing: a worker's batches become states in Neo4j."""
