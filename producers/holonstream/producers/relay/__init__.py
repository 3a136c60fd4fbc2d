"""The relay, from the log to Kafka. `relay` states the protocol; begin there."""
