"""The units, posts and people of the Coastal Rescue Service, and how they change.

The service CONTAINS regions, which CONTAIN stations. A post BELONGS_TO a unit and a person OCCUPIES a post. Persons are
recruited, promoted, moved and retired; they are awarded qualifications, which expire. Regions are merged and split,
stations are opened and closed. Some of it is recorded late or wrongly, as in any files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta

from holonstream.demo.datasets.history import History
from holonstream.demo.datasets.names import Names, slug

FIRST_DAY, LAST_DAY = date(2005, 1, 3), date(2026, 6, 30)

PERSONNEL, PLANS = "personnel-office", "plans-office"
SERVICE = "unit/coastal-rescue"
YEAR = 365

RANKS = ("Rescuer", "Senior Rescuer", "Coxswain", "Lieutenant", "Commander", "Commodore")
"""By grade, from 1"""

POSTS = {
    "service": (("Director", 6), ("Chief of Operations", 5), ("Chief Engineer", 5), ("Head of Plans", 5)),
    "region": (("Regional Commander", 5), ("Operations Officer", 4), ("Training Officer", 4)),
    "station": (
        ("Station Officer", 4),
        ("Coxswain", 3),
        ("Second Coxswain", 2),
        ("Mechanic", 2),
        ("Navigator", 2),
        ("Crew 1", 1),
        ("Crew 2", 1),
        ("Crew 3", 1),
    ),
}
"""Title and grade of the posts of a unit, by its kind"""

QUALIFICATIONS = {
    "sea-survival": ("Sea survival", 5),
    "first-aid": ("First aid afloat", 4),
    "engineering": ("Marine engineering", 6),
    "navigation": ("Coastal navigation", 5),
    "radio": ("Radio operator", 5),
    "helm": ("Helm of a rescue boat", 5),
    "boat-command": ("Command of a rescue boat", 6),
    "incident-command": ("Incident command", 5),
    "instructor": ("Instructor", 5),
}
"""Name, and for how many years it holds"""

REQUIRED = {
    "Regional Commander": ("incident-command",),
    "Operations Officer": ("radio", "incident-command"),
    "Training Officer": ("instructor",),
    "Station Officer": ("incident-command", "first-aid"),
    "Coxswain": ("helm", "boat-command"),
    "Second Coxswain": ("helm", "navigation"),
    "Mechanic": ("engineering", "sea-survival"),
    "Navigator": ("navigation", "radio"),
    "Crew 1": ("sea-survival", "first-aid"),
    "Crew 2": ("sea-survival", "first-aid"),
    "Crew 3": ("sea-survival", "helm"),
}
"""What a post asks of its holder, by its title"""


@dataclass(eq=False)
class Unit:
    """A service, region or station that is open."""

    id: str
    name: str
    kind: str
    parent: Unit | None = None
    placements: int = 0
    posts: list[Post] = field(default_factory=list)
    children: list[Unit] = field(default_factory=list)

    @property
    def short(self) -> str:
        """The last part of its id."""
        return self.id.partition("/")[2]

    def holder(self, *titles: str) -> Person | None:
        """Who holds the first of these posts that is held."""
        held = (post.holder for title in titles for post in self.posts if post.title == title)
        return next((person for person in held if person), None)


@dataclass(eq=False)
class Post:
    """A post of a unit; nobody may hold it."""

    id: str
    title: str
    grade: int
    unit: Unit
    open: bool = True
    holder: Person | None = None
    acting: tuple[str, Person] | None = None
    """relationship id and person who stands in for a holder"""


@dataclass(eq=False)
class Person:
    """Somebody who serves."""

    id: str
    name: str
    grade: int
    post: Post | None = None
    posting: str = ""
    """relationship id of the present posting"""
    postings: int = 0
    since: date = FIRST_DAY
    recorded: date = FIRST_DAY
    """when the present posting came into the files"""
    serving: bool = True
    qualifications: set[str] = field(default_factory=set)


class Service:
    """Units, posts and people, as they are on the history's day."""

    def __init__(self, history: History, persons: int) -> None:
        self.history = history
        self.names = Names(history.random)
        self._stations = max(1, round((persons - 4) / 8.7))
        self._recruits = 0
        self._vacant: list[Post] = []
        self.serving: dict[int, list[Person]] = {grade: [] for grade in range(1, len(RANKS) + 1)}
        self.root = Unit(SERVICE, "Coastal Rescue Service", "service")

    # --- units

    def found(self) -> None:
        """The first day, and the changes that are to come."""
        for id_, (name, years) in QUALIFICATIONS.items():
            self.history.event(
                "QualificationDefined", f"qual/{id_}", by=PERSONNEL, payload={"name": name, "code": id_, "years": years}
            )
        self._open(self.root, None)
        count = max(1, round(self._stations / 6))
        regions = [self._region() for _ in range(count)]
        for number in range(self._stations):
            if number > 2 and self.history.chance(0.2):
                self.history.within(2 * YEAR, 10 * YEAR, self._open_station)
            else:
                self._open_station(regions[number % count])
        if count > 1:
            self.history.on(date(2012, 4, 1), self._merge)
            self.history.on(date(2019, 1, 1), self._split)
        self.history.on(date(2016, 1, 1), self._pay_mechanics)
        self.history.within(9 * YEAR, 11 * YEAR, self._close_a_station)
        self.history.within(15 * YEAR, 17 * YEAR, self._close_a_station)

    def stations(self) -> list[Unit]:
        """The stations that are open."""
        return [station for region in self.root.children for station in region.children]

    def _region(self) -> Unit:
        name = self.names.next("regions")
        region = Unit(f"unit/{slug(name)}-region", f"{name} Region", "region")
        self._open(region, self.root)
        return region

    def _open_station(self, region: Unit | None = None) -> None:
        name = self.names.next("stations")
        region = region or min(self.root.children, key=lambda unit: len(unit.children))
        self._open(Unit(f"unit/{slug(name)}", f"{name} Station", "station"), region)

    def _open(self, unit: Unit, parent: Unit | None) -> None:
        above = {"parentId": parent.id} if parent else {}
        self.history.event(
            "OrganizationCreated", unit.id, by=PLANS, payload={"name": unit.name, "type": unit.kind, **above}
        )
        if parent:
            self._place(unit, parent)
        for title, grade in POSTS[unit.kind]:
            post = Post(f"post/{unit.short}/{slug(title)}", title, grade, unit)
            unit.posts.append(post)
            self.history.event(
                "PositionCreated",
                post.id,
                unit.id,
                by=PLANS,
                payload={"title": title, "orgId": unit.id, "grade": RANKS[grade - 1]},
            )
            self.history.start(f"belongs/{post.id}", "BELONGS_TO", post.id, unit.id, by=PLANS)
            for required in REQUIRED.get(title, ()) if grade > 2 else ():
                needed = f"needs/{post.id}/{required}"
                self.history.start(needed, "REQUIRED_FOR", f"qual/{required}", post.id, by=PLANS)
            self.history.within(0, 60, self._fill, post)
        if unit.kind == "station":
            self.history.within(30, 8 * YEAR, self._storm, unit)

    def _place(self, unit: Unit, parent: Unit) -> None:
        unit.parent = parent
        unit.placements += 1
        parent.children.append(unit)
        self.history.start(f"contains/{unit.short}/{unit.placements}", "CONTAINS", parent.id, unit.id, by=PLANS)

    def realign(self, unit: Unit, parent: Unit, order: str) -> None:
        """Move a unit below another one."""
        assert unit.parent is not None
        self._remove(unit)
        self._place(unit, parent)
        self.history.event(
            "OrganizationRealigned",
            unit.id,
            parent.id,
            by=PLANS,
            payload={
                "organizationId": unit.id,
                "newParentId": parent.id,
                "effectiveDate": self.history.today.isoformat(),
                "authorizationDocument": order,
                "updates": {"parentId": parent.id},
            },
        )

    def _remove(self, unit: Unit) -> None:
        assert unit.parent is not None
        unit.parent.children.remove(unit)
        self.history.end(f"contains/{unit.short}/{unit.placements}", unit.parent.id, unit.id, by=PLANS)

    def _merge(self) -> None:
        """The reform of 2012: the last region is dissolved, and the others take its stations."""
        gone = self.root.children[-1]
        others = self.root.children[:-1]
        for number, station in enumerate(list(gone.children)):
            self.realign(station, others[number % len(others)], "doc/reform-2012")
        self._close(gone, "merged")

    def _split(self) -> None:
        """The reform of 2019: half of the largest region becomes one of its own."""
        largest = max(self.root.children, key=lambda unit: len(unit.children))
        region = self._region()
        for station in largest.children[::2]:
            self.realign(station, region, "doc/reform-2019")

    def _close_a_station(self) -> None:
        if len(self.stations()) > 3:
            self._close(self.history.random.choice(self.stations()), "closed")

    def _pay_mechanics(self) -> None:
        for post in [post for station in self.stations() for post in station.posts if post.title == "Mechanic"]:
            self.history.event("PositionModified", post.id, by=PERSONNEL, payload={"updates": {"allowance": 120}})

    def _close(self, unit: Unit, reason: str) -> None:
        self._remove(unit)
        for post in unit.posts:
            post.open = False
            if post in self._vacant:
                self._vacant.remove(post)
            self._end_acting(post)
            if person := post.holder:
                self._vacate(person, "post abolished")
                if new := next((vacant for vacant in self._vacant if vacant.grade == person.grade), None):
                    self._appoint(person, new)
                else:
                    self._say_goodbye(person, "redundant")
            belongs = f"belongs/{post.id}"
            self.history.end(belongs, post.id, unit.id, by=PLANS)
            self.history.event(
                "PositionDeactivated", post.id, by=PLANS, payload={"positionId": post.id, "reason": reason}
            )
        day = self.history.today.isoformat()
        self.history.event(
            "OrganizationDeactivated",
            unit.id,
            by=PLANS,
            payload={"organizationId": unit.id, "reason": reason, "deactivationDate": day},
        )

    def _storm(self, station: Unit) -> None:
        """A station is on storm watch for three days; the all-clear reaches the files later."""
        if station not in self.stations() or self.history.today > LAST_DAY - timedelta(10):
            return
        today = self.history.today
        watch = (today, today + timedelta(3))
        for readiness, day, valid in (("storm watch", today, watch), ("normal", today + timedelta(10), None)):
            self.history.event(
                "OrganizationRealigned",
                station.id,
                by="operations-room",
                happened=day,
                valid=valid,
                payload={"updates": {"readiness": readiness}},
            )
        self.history.within(3 * YEAR, 9 * YEAR, self._storm, station)

    # --- people

    def _fill(self, post: Post) -> None:
        """Find somebody for a vacant post."""
        if not post.open or post.holder:
            return
        self._appoint(self._successor(post) or self._recruit(post.grade), post)

    def _successor(self, post: Post) -> Person | None:
        """Who has waited longest of some who may be promoted, or asks to be moved."""
        founding = (self.history.today - FIRST_DAY).days < 90
        grade = post.grade if self.history.chance(0.2) else post.grade - 1
        pool = self.serving.get(grade, [])
        if founding or not pool:
            return None
        asked = [self.history.random.choice(pool) for _ in range(5)]
        able = [person for person in asked if person.post and (self.history.today - person.since).days > 2 * YEAR]
        return min(able, key=lambda person: person.since, default=None)

    def _recruit(self, grade: int) -> Person:
        name = self.names.person()
        person = Person(self.names.unique(f"person/{slug(name)}"), name, grade)
        self.serving[grade].append(person)
        self._recruits += 1
        self.history.event(
            "PersonCreated",
            person.id,
            by=PERSONNEL,
            payload={"name": name, "rank": RANKS[grade - 1], "identifiers": {"service": f"{10_000 + self._recruits}"}},
        )
        years = self.history.random.randint(2, 24)
        self.history.within(
            years * YEAR, (years + 1) * YEAR, self._leave, person, "retired" if years > 11 else "resigned"
        )
        return person

    def _appoint(self, person: Person, post: Post) -> None:
        if person.post:
            self._vacate(person, "new posting")
        self._end_acting(post)
        if post in self._vacant:
            self._vacant.remove(post)
        today, random = self.history.today, self.history.random
        person.post, post.holder = post, person
        person.postings += 1
        person.posting = f"posting/{person.id.partition('/')[2]}/{person.postings}"
        person.since = person.recorded = today
        if self.history.chance(0.03):  # found months later in a drawer
            person.recorded = min(today + timedelta(random.randint(20, 90)), LAST_DAY)
        wrong = self.history.chance(0.03)
        self.history.start(
            person.posting,
            "OCCUPIES",
            person.id,
            post.id,
            by=PERSONNEL,
            recorded=person.recorded,
            role="acting" if wrong else "primary",
        )
        if wrong:
            self.history.event(
                "AssignmentCorrected",
                person.id,
                post.id,
                by=PERSONNEL,
                happened=min(person.recorded + timedelta(random.randint(20, 200)), LAST_DAY),
                payload={
                    "relationshipId": person.posting,
                    "corrections": {"role": "primary"},
                    "correctionReason": "clerical error",
                },
            )
        if post.grade != person.grade:
            self.serving[person.grade].remove(person)
            person.grade = post.grade
            self.serving[person.grade].append(person)
            self.history.event(
                "PersonModified", person.id, by=PERSONNEL, payload={"diff": {"rank": RANKS[person.grade - 1]}}
            )
        for qualification in REQUIRED.get(post.title, ()):
            if qualification not in person.qualifications:
                person.qualifications.add(qualification)
                self.history.within(5, 90, self._award, person, qualification)

    def _vacate(self, person: Person, reason: str) -> None:
        post = person.post
        assert post is not None
        today = self.history.today
        filed = min(today + timedelta(14), LAST_DAY) if self.history.chance(0.05) else today
        filed = max(filed, person.recorded)
        late = {"endDate": today.isoformat()} if filed > today else {}
        self.history.end(person.posting, person.id, post.id, by=PERSONNEL, happened=filed, reason=reason, **late)
        for other in post.unit.posts:
            if other.acting and other.acting[1] is person:
                self._end_acting(other)
        person.post = post.holder = None
        if post.open:
            self._vacant.append(post)
            if post.grade > 3:
                self._stand_in(post)
            self.history.within(10, 90, self._fill, post)

    def _stand_in(self, post: Post) -> None:
        """Somebody of the unit acts for a holder who has left."""
        ready = [other.holder for other in post.unit.posts if other.holder and other.grade == post.grade - 1]
        if ready and ready[0]:
            id_ = self.names.unique(f"acting/{post.id}")
            post.acting = (id_, ready[0])
            self.history.start(id_, "OCCUPIES", ready[0].id, post.id, by=PERSONNEL, role="acting")

    def _end_acting(self, post: Post) -> None:
        if post.acting:
            id_, person = post.acting
            post.acting = None
            self.history.end(id_, person.id, post.id, by=PERSONNEL, reason="post filled")

    def _leave(self, person: Person, reason: str) -> None:
        if person.serving:
            if person.post:
                self._vacate(person, reason)
            self._say_goodbye(person, reason)

    def _say_goodbye(self, person: Person, reason: str) -> None:
        person.serving = False
        self.serving[person.grade].remove(person)
        left = {"leftOn": self.history.today.isoformat(), "reason": reason}
        self.history.event("PersonModified", person.id, by=PERSONNEL, payload={"diff": left})

    # --- qualifications

    def _award(self, person: Person, qualification: str) -> None:
        if not person.serving:
            return
        today = self.history.today
        until = today + timedelta(QUALIFICATIONS[qualification][1] * YEAR)
        late = self.history.chance(0.02)  # the school sends its list at the end of the term
        recorded = min(today + timedelta(self.history.random.randint(40, 150)), LAST_DAY) if late else today
        self.history.event(
            "QualificationAwarded",
            person.id,
            f"qual/{qualification}",
            by="training-school",
            recorded=recorded,
            payload={
                "personId": person.id,
                "qualificationId": qualification,
                "awardedDate": today.isoformat(),
                "expirationDate": until.isoformat(),
            },
        )
        self.history.on(until, self._renew, person, qualification)

    def _renew(self, person: Person, qualification: str) -> None:
        """Most renew in time; some need a reminder, some no longer need it, and few lose it."""
        if not person.serving:
            return
        subjects = (person.id, f"qual/{qualification}")
        needed = person.post is not None and qualification in REQUIRED.get(person.post.title, ())
        luck = self.history.random.random()
        if needed and luck < 0.88:
            until = self.history.today + timedelta(QUALIFICATIONS[qualification][1] * YEAR)
            self.history.event(
                "QualificationRenewed",
                *subjects,
                by="training-school",
                payload={"qualificationId": qualification, "newExpirationDate": until.isoformat()},
            )
            self.history.on(until, self._renew, person, qualification)
        elif needed and luck > 0.99:
            officer = person.post and person.post.unit.holder("Station Officer", "Regional Commander")
            self.history.event(
                "QualificationRevoked",
                *subjects,
                by="training-school",
                payload={
                    "qualificationId": qualification,
                    "reason": "failed the practical test",
                    "revokedBy": officer.id if officer else SERVICE,
                },
            )
        else:
            self.history.event(
                "QualificationExpired", *subjects, by="training-school", payload={"qualificationId": qualification}
            )
            if needed:
                self.history.within(30, 300, self._award, person, qualification)
            else:
                person.qualifications.discard(qualification)
