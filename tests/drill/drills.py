"""The drills: each loses the log in one way, brings it back, and checks what is then true.

They follow each other on one installation: each leaves a log for the next one.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic

import psycopg

from holonstream.client import ClientSettings, SyncClient
from tests.drill.backups import PATIENCE, Backups
from tests.drill.service import Acknowledged, Service
from tests.drill.site import RELAYS, Outcome, Site, say
from tests.support.event_log import append, envelope
from tests.support.standby import Standby, standby_of
from tests.support.waiting import wait_until

AFTER = 200  # events that a service appends after a moment, or after a replica was cut off
MEASURED = 300  # appends


class Drills:
    """All drills; `closing` stops the replicas at the end."""

    def __init__(self, site: Site, backups: Backups, closing: ExitStack) -> None:
        self._site, self._backups, self._closing = site, backups, closing
        self.outcomes: list[Outcome] = []
        self.figures: dict[str, float] = {}

    def run(self, events: int) -> None:
        """Load the log, take the backups while it grows, and perform every drill."""
        site = self._site
        site.run("init")
        site.follow()
        with self._timed("append the first half, s"):
            site.load(0, events // 2)
        with self._backups.archiving(site.primary):
            with self._timed("base backup, s"):
                self.figures["base backup, MB"] = self._backups.take_base(site.primary) / 1e6
            with self._timed("append the second half, s"):
                site.load(events // 2, events)
            with self._timed("dump, s"):
                self.figures["dump, MB"] = self._backups.dump(site.primary) / 1e6
            with self._timed("until the views have everything, s"):
                site.wait_until_caught_up()
            with Service(site.primary) as service:
                service.appends(AFTER)
            before, moment = service.acknowledged, site.moment()
            self.server_lost()
        self.to_a_moment(moment, before)
        self.from_a_dump()
        self.switch_over()
        self.fail_over()
        self.fail_over_synchronous()

    @contextmanager
    def _drill(self, name: str) -> Iterator[Outcome]:
        say(name)
        outcome = Outcome(name)
        yield outcome
        self.outcomes.append(outcome)
        say(f"    {outcome.line()}")

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = monotonic()
        yield
        self.figures[name] = monotonic() - began
        say(f"{name}: {self.figures[name]:.1f}")

    # --- backups -----------------------------------------------------------------------------------------------------

    def server_lost(self) -> None:
        """The server and its disk are gone while a service appends; the WAL was received elsewhere all along."""
        with (
            self._drill("the server is lost; base backup and WAL are there") as outcome,
            Service(self._site.primary) as service,
        ):
            service.appends(AFTER)
            self._site.mark()
            self._site.stack.kill("postgres")
            began = monotonic()
            with outcome.step("restore"):
                self._backups.restore(self._site.stack, None)
            outcome.lost = self._site.count_missing([one for one in service.acknowledged if one.at < began])
            if outcome.lost and self._site.relay_refuses():
                self._site.reconcile(outcome, service, began, beside=False)
            self._site.proves_itself(outcome, service, began)
        self._site.verify()

    def to_a_moment(self, moment: str, before: list[Acknowledged]) -> None:
        """What was appended after a moment is wrong: the log goes back to it, and the graph is rebuilt beside."""
        self._site.wait_until_caught_up()
        with self._drill("restored to a moment, the graph rebuilt beside") as outcome:
            began = monotonic()
            self._site.stop()
            with outcome.step("restore"):
                self._backups.restore(self._site.stack, moment)
            self._site.mark()
            self._site.start(*RELAYS)
            outcome.lost = self._site.count_missing(before)
            assert outcome.lost == 0
            self._reconcile(outcome, began, beside=True)
        with SyncClient.from_settings(ClientSettings.of(self._site.environment)) as reader:
            assert self._site.is_read(reader, before[-1]), "a token from before the moment is answered"

    def from_a_dump(self) -> None:
        """There is only a dump, which is loaded into a new server."""
        with Service(self._site.primary) as service:
            service.appends(AFTER)
        self._site.wait_until_caught_up()
        with self._drill("restored from a dump") as outcome:
            began = monotonic()
            self._site.stop()
            with outcome.step("restore"):
                self._backups.restore_dump(self._site.stack)
            self._site.mark()
            self._site.start(*RELAYS, options=["--trust-log"])
            outcome.lost = self._site.count_missing(service.acknowledged)
            self._reconcile(outcome, began, beside=False)

    def _reconcile(self, outcome: Outcome, began: float, *, beside: bool) -> None:
        """The relay refuses, since the topic is ahead of the log. All is put right while a service appends again."""
        assert self._site.relay_refuses()
        with Service(self._site.primary) as service:
            self._site.reconcile(outcome, service, began, beside=beside)
            self._site.proves_itself(outcome, service, began)
        self._site.verify()

    # --- replicas ----------------------------------------------------------------------------------------------------

    def _with_replica(self) -> Standby:
        """A replica of the log; all processes know both servers."""
        self._site.stop()
        replica = self._closing.enter_context(standby_of(self._site.primary))
        self._site.follow(self._site.primary, replica.dsn("holonstream"))
        return replica

    def _promote(self, replica: Standby) -> None:
        self._site.primary = replica.promote("holonstream")
        self._replica = replica

    def switch_over(self) -> None:
        """A planned one: the primary is stopped in good order, which sends the replica everything first."""
        replica = self._with_replica()
        with self._drill("switch-over to a replica") as outcome, Service(self._site.log) as service:
            replica.wait_until_caught_up()
            service.appends(AFTER)
            began = monotonic()
            with outcome.step("stop the primary"):
                self._site.stack.stop("postgres")
            with outcome.step("promote"):
                self._promote(replica)
            self._site.proves_itself(outcome, service, began)
            outcome.appends = service.longest_pause(began)
        outcome.lost = self._site.count_missing(service.acknowledged)
        assert outcome.lost == 0
        self._site.verify()

    def fail_over(self) -> None:
        """The primary is gone, and the replica lacks what was committed last, of which much was published."""
        former = self._replica
        replica = self._with_replica()
        with self._drill("fail-over to a replica that lacks commits") as outcome:
            with Service(self._site.log) as service:
                service.appends(AFTER)
                replica.wait_until_caught_up()
                replica.cut_off()
                service.appends(AFTER)
            self._site.wait_until_caught_up()
            self._site.mark()
            former.kill()
            began = monotonic()
            with outcome.step("promote"):
                self._promote(replica)
            outcome.lost = self._site.count_missing(service.acknowledged)
            assert outcome.lost >= AFTER
            self._reconcile(outcome, began, beside=False)

    def fail_over_synchronous(self) -> None:
        """The same with a replica that commits wait for: nothing is lost, and nothing is to be done."""
        former = self._replica
        replica = self._with_replica()
        self.figures["append of one event, asynchronous replica, ms"] = self._median_append()
        with psycopg.connect(self._site.primary, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            asked = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
            wait_until(lambda: connection.execute(asked).fetchone() == (1,), "the replica is synchronous", PATIENCE)
        self.figures["append of one event, synchronous replica, ms"] = self._median_append()
        with self._drill("fail-over to a synchronous replica") as outcome, Service(self._site.log) as service:
            service.appends(AFTER)
            former.kill()
            began = monotonic()
            with outcome.step("promote"):
                self._promote(replica)
            self._site.proves_itself(outcome, service, began)
            outcome.appends = service.longest_pause(began)
        outcome.lost = self._site.count_missing(service.acknowledged)
        assert outcome.lost == 0
        self._site.verify()

    def _median_append(self) -> float:
        times = []
        with psycopg.connect(self._site.primary, autocommit=True) as connection:
            for number in range(MEASURED):
                began = monotonic()
                append(connection, [envelope(f"latency-{number}")])
                times.append(monotonic() - began)
        return statistics.median(times) * 1000
