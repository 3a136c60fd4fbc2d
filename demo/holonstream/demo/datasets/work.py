"""What the Coastal Rescue Service does: boats and systems, missions, plans, papers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from holonstream.demo.datasets.history import History
from holonstream.demo.datasets.names import slug
from holonstream.demo.datasets.service import LAST_DAY, PLANS, SERVICE, YEAR, Person, Service, Unit

OPERATIONS, ENGINEERING = "operations-room", "engineering-depot"
CYCLE = 3  # years of a plan

BOATS = (("Severn class", 25, 250), ("Tamar class", 27, 240), ("Shannon class", 29, 220))
"""Class, speed in knots and range in miles of the boats, oldest first"""

OBJECTIVES = (
    ("Reach every call within 30 minutes", "Median minutes to the scene", 41, 30),
    ("A boat ready at every station at all times", "Days without a boat", 160, 40),
    ("Two crews for every boat", "Stations with two crews", 9, 20),
    ("No injury in training", "Injuries a year", 12, 0),
)
"""Statement of an objective; statement, baseline and target of its key result"""

STAGES = ("pilot", "rollout", "in use")


@dataclass(eq=False)
class Boat:
    """A rescue boat and the station where it lies."""

    id: str
    station: Unit
    type_: str
    ready: bool = True


class Work:
    """What the service does, on the history's days."""

    def __init__(self, history: History, service: Service) -> None:
        self.history = history
        self.service = service
        self._boats: dict[Unit, Boat] = {}
        self._systems: dict[Unit, int] = {}
        self._missions: dict[int, int] = {}
        self._initiatives = 0
        self._objectives: list[str] = []

    def found(self) -> None:
        """The first year, from which the rest follows."""
        history = self.history
        measure = {"holonType": "MeasureDefinition", "name": "Minutes to the scene", "unit": "min"}
        history.event("OrganizationCreated", "measure/response-time", by=PLANS, payload=measure)
        lens = {"holonType": "LensDefinition", "name": "Readiness of a region"}
        history.event("OrganizationCreated", "lens/readiness", by=PLANS, payload=lens)
        history.event("LOECreated", "effort/readiness", by=PLANS, payload={"name": "Readiness", "leadId": SERVICE})
        reframed = {"newName": "Readiness and reach", "properties": {"name": "Readiness and reach"}}
        history.on(date(2014, 1, 15), self._say, "LOEReframed", "effort/readiness", reframed)
        for year in range(2005, 2027):
            history.on(date(year, 1, 20), self._year_of_plans, year)
            history.on(date(year, 3, 1), self._look_back, year)
        history.after(1, self._equip)
        for year, title in ((2012, "Reform of the regions"), (2019, "A region of its own for the isles")):
            issued = {"title": title, "status": "in force", "documentType": "order"}
            history.on(date(year - 1, 11, 2), self._say, "DocumentIssued", f"doc/reform-{year}", issued)
        self._callout_process()

    def _say(self, type_: str, subject: str, payload: Mapping[str, object], by: str = PLANS) -> None:
        self.history.event(type_, subject, by=by, payload=payload)

    # --- boats and systems

    def _equip(self) -> None:
        """Every station has a boat and every region a traffic display; asked every month."""
        stations = self.service.stations()
        for station in stations:
            if station not in self._boats:
                self._commission(station)
                self.history.within(20, 2 * YEAR, self._alarm, station)
        for station in [station for station in self._boats if station not in stations]:
            self._decommission(self._boats[station], "station closed")
        for region in self.service.root.children:
            if region not in self._systems:
                self._systems[region] = 0
                self._install(region)
        self.history.after(30, self._equip)

    def _commission(self, station: Unit) -> None:
        name = self.service.names.next("boats")
        years = (self.history.today.year - 2000) // 9
        type_, speed, range_ = BOATS[min(years, len(BOATS) - 1)]
        boat = self._boats[station] = Boat(f"boat/{slug(name)}", station, type_)
        self.history.event(
            "SystemDeployed",
            boat.id,
            by=ENGINEERING,
            payload={
                "holonType": "Asset",
                "systemId": boat.id,
                "name": name,
                "model": type_,
                "status": "operational",
                "configuration": {"speed": speed, "range": range_, "engines": ["port", "starboard"]},
            },
        )
        self.history.start(f"berth/{slug(name)}", "LOCATED_AT", boat.id, station.id, by=ENGINEERING)
        self.history.within(200, 420, self._overhaul, boat)
        self.history.within(200, 6 * YEAR, self._break_down, boat)
        self.history.within(5 * YEAR, 8 * YEAR, self._upgrade, boat)
        self.history.within(10 * YEAR, 16 * YEAR, self._decommission, boat, "replaced")

    def _afloat(self, boat: Boat) -> bool:
        return self._boats.get(boat.station) is boat

    def _maintain(self, boat: Boat, type_: str, status: str) -> None:
        if self._afloat(boat):
            boat.ready = status == "operational"
            maintenance = {"systemId": boat.id, "type": type_, "status": status}
            self._say("AssetMaintenance", boat.id, maintenance, ENGINEERING)

    def _overhaul(self, boat: Boat) -> None:
        self._maintain(boat, "overhaul", "in maintenance")
        self.history.within(8, 35, self._maintain, boat, "trial run", "operational")
        if self._afloat(boat):
            self.history.within(340, 420, self._overhaul, boat)

    def _break_down(self, boat: Boat) -> None:
        if self._afloat(boat):
            boat.ready = False
            code = f"{self.history.random.choice(('ENG', 'HYD', 'NAV', 'HULL'))}-{self.history.random.randint(1, 9)}"
            self._say("AssetFailure", boat.id, {"systemId": boat.id, "failureCode": code}, ENGINEERING)
            self.history.within(2, 20, self._maintain, boat, "repair", "operational")
            self.history.within(YEAR, 6 * YEAR, self._break_down, boat)

    def _upgrade(self, boat: Boat) -> None:
        if self._afloat(boat):
            new = {"radar": self.history.random.choice(("digital", "solid state")), "infrared": True}
            self._say("AssetUpgrade", boat.id, {"systemId": boat.id, "newSpecs": new}, ENGINEERING)

    def _decommission(self, boat: Boat, reason: str) -> None:
        if self._afloat(boat):
            del self._boats[boat.station]
            berth = f"berth/{boat.id.partition('/')[2]}"
            self.history.end(berth, boat.id, boat.station.id, by=ENGINEERING, reason=reason)
            self._say("SystemDeprecated", boat.id, {"systemId": boat.id, "details": reason}, ENGINEERING)

    def _install(self, region: Unit) -> None:
        """The traffic display of a region: a new version a year, and outages."""
        id_ = f"system/traffic-display-{region.short.removesuffix('-region')}"
        version = self._systems[region] = self._systems[region] + 1
        if region not in self.service.root.children:
            self._say("SystemDeprecated", id_, {"systemId": id_, "details": "region merged"}, ENGINEERING)
            return
        if version == 1:
            deployed = {
                "systemId": id_,
                "name": "Traffic display",
                "status": "operational",
                "configuration": {"screens": 2},
            }
            self._say("SystemDeployed", id_, deployed, ENGINEERING)
            self.history.start(f"uses/{id_}", "USES", region.id, id_, by=ENGINEERING)
        else:
            updated = {"systemId": id_, "version": f"{version}.0", "status": "operational"}
            self._say("SystemUpdated", id_, updated, ENGINEERING)
            if self.history.chance(0.4):
                self.history.within(20, 300, self._outage, region, id_)
        self.history.within(300, 400, self._install, region)

    def _outage(self, region: Unit, id_: str) -> None:
        if region in self.service.root.children:
            until = self.history.today + timedelta(2)
            outage = {"systemId": id_, "severity": "major", "estimatedResolution": until.isoformat()}
            self._say("SystemOutage", id_, outage, OPERATIONS)
            back = {"systemId": id_, "version": f"{self._systems[region]}.1", "status": "operational"}
            self.history.after(2, self._say, "SystemUpdated", id_, back, ENGINEERING)

    # --- missions

    def _alarm(self, station: Unit) -> None:
        """The boat of a station puts to sea, for a rescue or, one time in four, for an exercise."""
        if station not in self.service.stations():
            return
        leader = station.holder("Coxswain", "Second Coxswain")
        boat = self._boats.get(station)
        if leader and boat and boat.ready:
            crew = [
                post.holder for post in station.posts if post.title.startswith(("Crew", "Mechanic")) and post.holder
            ]
            self._mission(station, boat, leader, crew[: self.history.random.randint(1, 3)])
        self.history.within(350, 1200, self._alarm, station)

    def _mission(self, station: Unit, boat: Boat, leader: Person, crew: list[Person]) -> None:
        history, random, names = self.history, self.history.random, self.service.names.lists
        year = history.today.year
        number = self._missions[year] = self._missions.get(year, 0) + 1
        id_ = f"mission/{year}-{number:03}"
        exercise = history.chance(0.25)
        what = f"{random.choice(names['casualties'])} {random.choice(names['troubles'])}"
        known = {"name": f"Exercise off {station.name}" if exercise else what, "commanderId": leader.id}
        begins = history.at(random.randint(0, 15), random.randint(0, 59))
        if exercise:
            planned = history.today - timedelta(20)
            history.event(
                "MissionPlanned", id_, by=PLANS, happened=planned, payload={"missionState": "planned", **known}
            )
            approved = {"approverId": SERVICE, "approvalDate": planned.isoformat(), "missionState": "approved"}
            history.event("MissionApproved", id_, by=OPERATIONS, happened=planned + timedelta(9), payload=approved)
        launch = {"missionState": "under way", "launchTime": begins.isoformat()}
        history.event(
            "MissionLaunched", id_, by=OPERATIONS, happened=begins, payload=launch if exercise else {**launch, **known}
        )
        aboard = [(leader, "coxswain"), *((person, "crew") for person in crew)]
        for person, role in aboard:
            part = f"aboard/{id_.partition('/')[2]}/{person.id.partition('/')[2]}"
            history.start(part, "PARTICIPATES_IN", person.id, id_, by=OPERATIONS, happened=begins, role=role)
        history.start(f"boat-of/{id_}", "USES", id_, boat.id, by=OPERATIONS, happened=begins)
        now = begins
        for before, phase in (("launch", "search"), ("search", "rescue"), ("rescue", "return"))[: random.randint(2, 3)]:
            now += timedelta(minutes=random.randint(12, 90))
            phases = {"fromPhase": before, "toPhase": phase}
            history.event("MissionPhaseTransition", id_, by=OPERATIONS, happened=now, payload=phases)
        now += timedelta(minutes=random.randint(20, 120))
        status = "success" if history.chance(0.9) else "partial"
        history.event("MissionCompleted", id_, by=OPERATIONS, happened=now, payload={"completionStatus": status})
        for person, _ in aboard:
            part = f"aboard/{id_.partition('/')[2]}/{person.id.partition('/')[2]}"
            history.end(part, person.id, id_, by=OPERATIONS, happened=now)
        if history.chance(0.5):
            attendees = [person.id for person, _ in aboard]
            day = min(history.today + timedelta(random.randint(2, 20)), LAST_DAY)
            history.event("MissionDebriefed", id_, by=OPERATIONS, happened=day, payload={"attendees": attendees})

    # --- plans

    def _year_of_plans(self, year: int) -> None:
        turn, in_cycle = divmod(year - 2005, CYCLE)
        if in_cycle == 0:
            self._new_objectives(year, turn)
        count = max(1, len(self.service.stations()) // 10)
        for _ in range(count):
            self.history.within(5, 200, self._initiative)

    def _new_objectives(self, year: int, turn: int) -> None:
        for old in self._objectives:
            result = "reached" if self.history.chance(0.6) else "partly reached"
            self._say("ObjectiveClosed", old, {"result": result})
        self._objectives = []
        for number in range(2):
            statement, result, baseline, target = OBJECTIVES[(2 * turn + number) % len(OBJECTIVES)]
            id_, key = f"objective/{year}-{number + 1}", f"key-result/{year}-{number + 1}"
            self._objectives.append(id_)
            horizon = date(year + CYCLE, 1, 1).isoformat()
            created = {"objectiveId": id_, "statement": statement, "ownerId": SERVICE, "timeHorizon": horizon}
            self._say("ObjectiveCreated", id_, created)
            numbers = {"statement": result, "baseline": baseline, "target": target}
            self.history.event(
                "KeyResultDefined",
                key,
                id_,
                by=PLANS,
                payload={"krId": key, "objectiveId": id_, "ownerId": SERVICE, **numbers},
            )
            self.history.start(f"part-of/{key}", "PART_OF", key, id_, by=PLANS)
            self.history.start(f"aligned/{id_}", "ALIGNED_TO", id_, "effort/readiness", by=PLANS)
            later = date(year + CYCLE, 7, 1).isoformat()
            if self.history.chance(0.5):
                rescoped = {"newTimeHorizon": later, "updates": {"timeHorizon": later}}
                self.history.within(400, 800, self._say, "ObjectiveRescoped", id_, rescoped)

    def _initiative(self) -> None:
        if not self.service.serving[4]:
            return
        names, random = self.service.names.lists, self.history.random
        self._initiatives += 1
        id_ = f"initiative/{self._initiatives}"
        name = names["initiatives"][(self._initiatives - 1) % len(names["initiatives"])]
        owner = random.choice(self.service.serving[4])
        created = {"initiativeId": id_, "name": name, "ownerId": owner.id, "status": "proposed", "stage": "proposed"}
        self._say("InitiativeCreated", id_, created)
        self.history.start(f"aligned/{id_}", "ALIGNED_TO", id_, random.choice(self._objectives), by=PLANS)
        self.history.start(f"owner/{id_}", "RESPONSIBLE_FOR", owner.id, id_, by=PLANS)
        first = random.randrange(len(names["tasks"]) - 2)
        for number, (title, description) in enumerate(names["tasks"][first : first + 3], 1):
            self.history.within(10, 150, self._task, id_, f"task/{self._initiatives}-{number}", title, description)
        days = 0
        for stage in STAGES[: random.randint(1, 3)]:
            days += random.randint(120, 300)
            self.history.after(days, self._say, "InitiativeStageChange", id_, {"newStage": stage, "stage": stage})

    def _task(self, initiative: str, id_: str, title: str, description: str) -> None:
        history, random = self.history, self.history.random
        who = random.choice(self.service.serving[random.choice((3, 4))] or self.service.serving[4] or [None])
        if who is None:
            return
        due = history.today + timedelta(random.randint(30, 180))
        task = {"title": title, "description": description, "priority": random.choice(("high", "normal", "low"))}
        self._say(
            "TaskCreated",
            id_,
            {"taskId": id_, "assigneeId": who.id, "dueDate": due.isoformat(), "status": "open", **task},
        )
        history.start(f"part-of/{id_}", "PART_OF", id_, initiative, by=PLANS)
        history.event("TaskAssigned", id_, who.id, by=PLANS, payload={"assigneeId": who.id, "status": "assigned"})
        history.start(f"assigned/{id_}", "ASSIGNED_TO", id_, who.id, by=PLANS)
        day = random.randint(1, 30)
        started = {"startTime": f"{history.today + timedelta(day)}", "status": "in progress"}
        history.after(day, self._say, "TaskStarted", id_, started)
        if history.chance(0.2):
            day += random.randint(5, 30)
            history.after(day, self._say, "TaskBlocked", id_, {"reason": "no money this year", "status": "blocked"})
        day += random.randint(20, 120)
        if history.chance(0.1):
            history.after(day, self._say, "TaskCancelled", id_, {"reason": "no longer needed", "status": "cancelled"})
        else:
            history.after(day, self._say, "TaskCompleted", id_, {"outcome": "done", "status": "completed"})
        history.after(day, lambda: history.end(f"assigned/{id_}", id_, who.id, by=PLANS))

    # --- papers

    def _look_back(self, year: int) -> None:
        """What a year leaves: measures, a report, standing orders, a day of remembrance."""
        history, random = self.history, self.history.random
        for region in self.service.root.children:
            minutes = round(44 - 0.6 * (year - 2005) + random.uniform(-4, 4), 1)
            emitted = {"metricId": "response", "measureId": "response-time", "value": minutes, "unit": "min"}
            history.event("MeasureEmitted", "measure/response-time", region.id, by=PLANS, payload=emitted)
            colour = random.choice(("green", "green", "amber"))
            judged = {"lensId": "readiness", "measureDefinitionID": "response-time", "value": colour}
            result = {"score": round(random.uniform(0.6, 1), 2)}
            history.event("LensEvaluated", "lens/readiness", region.id, by=PLANS, payload={**judged, "result": result})
        report = f"doc/report-{year - 1}"
        created = {"documentId": report, "title": f"The year {year - 1}", "type": "report", "format": "markdown"}
        self._say(
            "DocumentCreated",
            report,
            {**created, "content": f"Missions: {self._missions.get(year - 1, 0)}", "version": "draft"},
        )
        published = {"documentId": report, "version": "1", "publishedAt": f"{year}-04-01", "approverId": SERVICE}
        history.after(31, self._say, "DocumentPublished", report, published)
        if (year - 2005) % CYCLE == 1:
            self._standing_orders(year)
        if self.service.stations():
            station = random.choice(self.service.stations())
            violation = {"ruleId": "daily-check", "severity": "minor", "violationDetails": "two days not signed"}
            history.within(10, 250, self._say, "ConstraintViolation", station.id, violation, OPERATIONS)
        self._remembrance(year)

    def _standing_orders(self, year: int) -> None:
        id_, old = f"doc/orders-{year}", f"doc/orders-{year - CYCLE}"
        issued = {"title": f"Standing orders {year}", "status": "in force", "documentType": "order"}
        self._say("DocumentIssued", id_, issued)
        if year > 2006:
            self.history.start(f"supersedes/{id_}", "SUPERSEDES", id_, old, by=PLANS)
            self._say("DocumentRescinded", old, {"reason": "superseded"})
        clause, obligation = f"clause/{year}-1", f"obligation/{year}-1"
        text = {
            "clauseId": clause,
            "sourceDocumentId": id_,
            "text": "Engines are run every day.",
            "location": "section 3",
        }
        self.history.event("ClauseExtracted", id_, clause, by=PLANS, payload=text)
        duty = {
            "description": "Daily engine check",
            "responsibleRole": "Mechanic",
            "frequency": "daily",
            "windowDays": 1,
        }
        self._say("ObligationDefined", obligation, {"obligationId": obligation, "sourceClauseId": clause, **duty})
        self.history.start(f"grounded/{obligation}", "GROUNDED_IN", obligation, id_, by=PLANS)
        amended = {"changes": "amendment", "updates": {"amended": True}}
        self.history.within(200, 500, self._say, "DocumentUpdated", id_, amended)

    def _callout_process(self) -> None:
        id_ = "process/call-out"
        steps = ["take the call", "page the crew", "launch"]
        defined = {"processId": id_, "name": "Call-out", "description": "From the call to the launch", "steps": steps}
        self._say("ProcessDefined", id_, defined, OPERATIONS)
        for year, more in ((2011, "check the weather"), (2017, "locate the phone")):
            steps = [steps[0], more, *steps[1:]]
            self.history.on(
                date(year, 5, 2), self._say, "ProcessUpdated", id_, {"updates": {"steps": steps}}, OPERATIONS
            )
        self.history.on(date(2023, 9, 1), self._say, "ProcessArchived", id_, {"reason": "automated"}, OPERATIONS)

    def _remembrance(self, year: int) -> None:
        id_, day = f"calendar/remembrance-{year}", date(year, 5, 10)
        entry = {"eventId": id_, "title": "Day of remembrance", "type": "ceremony", "classification": "open"}
        times = {"startTime": f"{day}T10:00:00.000Z", "endTime": f"{day}T12:00:00.000Z"}
        guests = [{"id": SERVICE, "type": "Organization", "role": "host"}]
        self._say("CalendarEventCreated", id_, {**entry, **times, "participants": guests})
        if year == 2020:
            self.history.after(20, self._say, "CalendarEventCancelled", id_, {"reason": "epidemic"})
        elif year % 4 == 0:
            self.history.after(30, self._say, "CalendarEventModified", id_, {"changes": {"title": "Day of thanks"}})
