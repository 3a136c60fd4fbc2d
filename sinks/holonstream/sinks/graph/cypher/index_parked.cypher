CREATE INDEX holonstream_parked_partition IF NOT EXISTS FOR (p:HolonstreamParked) ON (p.topic, p.partition)
