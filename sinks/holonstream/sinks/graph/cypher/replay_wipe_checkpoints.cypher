// First of all: without its checkpoint no worker can write a partition.
MATCH (n:HolonstreamCheckpoint|HolonstreamParked)
DELETE n
