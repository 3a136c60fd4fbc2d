// All relationships, in transactions of their own: a holon may have more of them than one can hold.
MATCH ()-[r]->()
CALL (r) { DELETE r } IN TRANSACTIONS OF 10000 ROWS
