"""The Faust side: the log on Kafka, followed by one consumer group per sink.

The protocol of a worker.

- A Faust message is a *poll*: a *fetch* of each partition that had something, which is consecutive records of it
  (`streams.transport`).
- One actor joins what was fetched meanwhile to one *batch* per partition, hands the batches to its sink and waits until
  they are written (`streams.follower`). Only the end of the last batch that was written is committed, partition by
  partition; Faust's own acks are not used.
- A fetch is handled only when it starts where the last written batch of its partition ended. Any other one (dropped by
  a rebalance, fetched before a seek) is left out, and the partition is read again from that place.
- A stored place is proven before it is used: it must be in the topic that has its id, not below the first record and
  not beyond the end (`TopicReplaced`, `TopicCut`). Id and ends are asked for again while the worker runs, and a fetch
  that is out of range never continues elsewhere.
- Errors are three kinds. *Transient* (`schemas.errors.Unavailable`, a timeout): the same batch is retried with backoff,
  for as long as it takes, until the worker stops or loses the partition. *Bad data* never reaches this level: the sink
  parks it. *Anything else* is a bug: the worker ends with a non-zero code, and what it had not written is read again.

What a crash does: before the sink's write, the batch comes again; between write and commit, the batch comes again and
the sink's own checkpoint drops it. A worker that lost a partition without noticing finds that checkpoint moved.
"""
