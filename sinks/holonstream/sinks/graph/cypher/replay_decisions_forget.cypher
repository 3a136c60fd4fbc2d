// Those that were needed are decisions again; the others are not needed any more.
MATCH (d:HolonstreamDiscardedBefore {topic: $topic})
DELETE d
