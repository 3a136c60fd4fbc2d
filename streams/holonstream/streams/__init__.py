"""The Faust side: the log on Kafka, followed by one consumer group per sink.

The protocol of a worker, in one page.

- A Faust message is a *run*: the consecutive records of one partition that one fetch brought (`streams.transport`).
- One actor hands each run to its sink and waits until it is written (`streams.follower`). Nothing is committed but the
  end of the last run that was written, partition by partition; Faust's own acks mean nothing here.
- Runs of a partition must join: a run is handled only when it starts where the last written one ended. One that does
  not (dropped by a rebalance, fetched before a seek) is left alone, and the partition is read again from that place.
- Errors are three kinds. *Transient* (`schemas.errors.Unavailable`, a timeout): the same run is tried again with
  backoff, for as long as it takes, until the worker stops or loses the partition. *Bad data* never reaches this level:
  the sink parks it. *Anything else* is a bug: the worker ends with a non-zero code, and what it had not written is read
  again.

What a crash does: before the sink's write, the run comes again; between write and commit, the run comes again and the
sink's own checkpoint drops it. A worker that lost a partition without noticing finds that checkpoint moved.
"""
