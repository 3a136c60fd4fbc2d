// Decisions to leave events out are set aside: the graph made anew may need them, or not.
MATCH (d:HolonstreamDiscarded)
SET d:HolonstreamDiscardedBefore
REMOVE d:HolonstreamDiscarded
