CREATE CONSTRAINT holonstream_parked IF NOT EXISTS FOR (p:HolonstreamParked) REQUIRE p.key IS UNIQUE
