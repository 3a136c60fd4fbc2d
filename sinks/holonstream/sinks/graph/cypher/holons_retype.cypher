// Take the old type from holons that have another one now.
UNWIND $rows AS row
MATCH (n:Holon {_id: row.id})
USING INDEX SEEK n:Holon(_id)
REMOVE n:$(row.old)
