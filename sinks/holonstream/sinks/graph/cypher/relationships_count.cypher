// How many relationships of a type there are, as an expression: answered from the count store.
COUNT { ()-[__RELATIONSHIP_TYPE__]->() }
