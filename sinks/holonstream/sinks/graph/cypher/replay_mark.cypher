// The replay that is making, or has made, this graph.
MATCH (r:HolonstreamReplay {topic: $topic})
RETURN r.suffix, r.state, r.began
