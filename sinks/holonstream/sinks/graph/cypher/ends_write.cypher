// The ends of relationships; one that is no holon yet is made bare.
UNWIND $ids AS id
MERGE (:Holon {_id: id})
