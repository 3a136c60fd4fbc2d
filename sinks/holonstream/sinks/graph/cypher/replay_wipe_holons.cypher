// All holons, in transactions of their own.
MATCH (n:Holon)
CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS
