"""The effect of each of the 59 types, on a holon or relationship that exists and on one that does not.

Written by hand from the rules (docs/domain.md, Operations), not from the schemas.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from holonstream.schemas.projection import apply
from holonstream.schemas.state import Holon, Relationship
from tests.unit.schema_support import AT, LATER, catalogue, event, holon, relationship

OLD = {"kept": 1, "name": "old"}
NONE = "no effect"


def created(type_: str, properties: dict[str, Any]) -> Holon:
    return Holon(
        id="h-1",
        type=type_,
        properties=properties,
        status="active",
        created_at=LATER,
        created_by="e-2",
        source_documents=(),
        last_modified=LATER,
        version=2,
        position=20,
    )


def changed(properties: dict[str, Any], status: str = "inactive") -> Holon:
    """The old holon, an inactive one, with these properties."""
    return replace(holon(properties, status=status), last_modified=LATER, version=2, position=20)


def laid(**changes: Any) -> Holon:
    return changed({**OLD, **changes})


CREATE = {"name": "new", "n": None, "properties": {"id": "own", "n": {"deep": [0]}}}
CREATED = {"name": "new", "n": {"deep": [0]}, "id": "own"}


def creates(type_: str) -> tuple[dict[str, Any], Any, Any]:
    return CREATE, created(type_, CREATED), created(type_, CREATED)


PATCH = {"updates": {"name": None, "more": {"a": []}}, "diff": {"never": 1}, "name": "never"}


def patches() -> tuple[dict[str, Any], Any, Any]:
    return PATCH, laid(name=None, more={"a": []}), None


def sets(type_: str, *keys: str) -> tuple[dict[str, Any], Any, Any]:
    payload = {**{key: {"of": key} for key in keys}, "name": "new", "properties": {"x": 1}}
    properties = {**{key: {"of": key} for key in keys}, "name": "new", "x": 1}
    return payload, laid(**{key: {"of": key} for key in keys}), created(type_, properties)


def qualifies(status: str) -> tuple[dict[str, Any], Any, Any]:
    entry = {"status": status, "lastUpdated": LATER}
    return {"qualificationId": "q-1", "awardedDate": "2024-01-01"}, laid(qualifications={"q-1": entry}), None


def measures(type_: str) -> tuple[dict[str, Any], Any, Any]:
    entry = {"type": type_, "value": None, "timestamp": LATER, "measureId": "m-1"}
    return {"value": None, "measureDefinitionID": "m-1", "unit": "d"}, laid(measurements=[entry]), None


RELATIONSHIP = Relationship(
    id="r-1",
    type="ADCON",
    source="h-1",
    target="h-2",
    properties={"role": None},
    effective_start=LATER,
    effective_end=None,
    authority_level="inferred",
    confidence_score=0,
    source_system="tests",
    source_documents=(),
    created_by="e-2",
    last_modified=LATER,
    version=2,
    position=20,
)
START = {
    "relationshipType": "ADCON",
    "properties": {"role": None},
    "authorityLevel": "inferred",
    "confidenceScore": 0,
    "role": "never",
}


def reached(**changes: Any) -> Relationship:
    return replace(relationship(OLD), last_modified=LATER, version=2, position=20, **changes)


EFFECTS: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "OrganizationCreated": creates("Organization"),
    "OrganizationRealigned": patches(),
    "OrganizationDeactivated": ({"properties": {"name": "never"}}, laid(), None),
    "PositionCreated": creates("Position"),
    "PositionModified": patches(),
    "PositionDeactivated": ({"updates": {"name": "never"}}, laid(), None),
    "PersonCreated": creates("Person"),
    "PersonModified": patches(),
    "AssignmentStarted": (START, RELATIONSHIP, RELATIONSHIP),
    "AssignmentEnded": (
        {"endDate": "2024-05-01", "reason": "never"},
        reached(effective_end="2024-05-01T00:00:00.000Z"),
        None,
    ),
    "AssignmentCorrected": (
        {"corrections": {"name": None, "type": "own"}, "originalPayload": {"never": 1}},
        reached(properties={"kept": 1, "name": None, "type": "own"}),
        None,
    ),
    "QualificationAwarded": qualifies("active"),
    "QualificationRenewed": qualifies("active"),
    "QualificationExpired": qualifies("inactive"),
    "QualificationRevoked": qualifies("inactive"),
    "QualificationDefined": creates("Qualification"),
    "MissionPlanned": sets("Mission", "missionState"),
    "MissionApproved": sets("Mission", "missionState"),
    "MissionLaunched": sets("Mission", "missionState"),
    "MissionPhaseTransition": (
        {"phase": "", "toPhase": "transit", "fromPhase": "staging"},
        laid(currentPhase="transit", phaseTransitionTime=LATER),
        None,
    ),
    "MissionCompleted": (
        {"completionStatus": "failure"},
        laid(completionStatus="completed", completionTime=LATER),
        None,
    ),
    "MissionDebriefed": ({"reportId": "d"}, laid(completionStatus="debriefed", completionTime=LATER), None),
    "SystemDeployed": sets("System", "status", "configuration"),
    "SystemUpdated": sets("System", "status", "configuration", "version"),
    "SystemOutage": (
        {"severity": "major", "estimatedResolution": "2024-03-03", "details": "never"},
        laid(status="outage", severity="major", estimatedResolution="2024-03-03"),
        None,
    ),
    "SystemDeprecated": ({"details": "never"}, laid(status="deprecated"), None),
    "AssetMaintenance": sets("Asset", "status", "configuration"),
    "AssetFailure": ({"failureCode": "F1", "severity": "never"}, laid(status="failed", failureCode="F1"), None),
    "AssetUpgrade": ({"newSpecs": {"range": 9}, "properties": {"never": 1}}, laid(range=9), None),
    "ObjectiveCreated": creates("Objective"),
    "KeyResultDefined": creates("KeyResult"),
    "ObjectiveRescoped": patches(),
    "ObjectiveClosed": ({"result": "never"}, laid(), None),
    "LOECreated": creates("LOE"),
    "LOEReframed": patches(),
    "InitiativeCreated": sets("Initiative", "status", "stage"),
    "InitiativeStageChange": sets("Initiative", "status", "stage"),
    "TaskCreated": sets("Task", "status", "stage"),
    "TaskAssigned": sets("Task", "status", "stage"),
    "TaskStarted": sets("Task", "status", "stage"),
    "TaskBlocked": sets("Task", "status", "stage"),
    "TaskCompleted": sets("Task", "status", "stage"),
    "TaskCancelled": sets("Task", "status", "stage"),
    "DocumentCreated": creates("Document"),
    "DocumentIssued": creates("Document"),
    "DocumentUpdated": patches(),
    "DocumentRescinded": ({"reason": "never"}, laid(), None),
    "DocumentPublished": sets("Document", "version", "publishedAt", "approverId"),
    "ClauseExtracted": (
        {"clauseId": "c", "text": None, "sourceDocumentId": "never"},
        laid(clauses=[{"clauseId": "c", "text": None}]),
        None,
    ),
    "ObligationDefined": creates("Constraint"),
    "ConstraintViolation": (
        {"ruleId": "r", "severity": "minor", "violationDetails": "v", "x": "never"},
        laid(violations=[{"ruleId": "r", "severity": "minor", "violationDetails": "v", "timestamp": LATER}]),
        None,
    ),
    "MeasureEmitted": measures("MeasureEmitted"),
    "LensEvaluated": measures("LensEvaluated"),
    "ProcessDefined": creates("Process"),
    "ProcessUpdated": patches(),
    "ProcessArchived": ({"reason": "never"}, changed(OLD, status="archived"), None),
    "CalendarEventCreated": ({"title": "never"}, NONE, None),
    "CalendarEventModified": ({"changes": {"never": 1}}, NONE, None),
    "CalendarEventCancelled": ({"reason": "never"}, NONE, None),
}


def test_the_table_has_all_types() -> None:
    assert sorted(EFFECTS) == sorted(catalogue().types)
    assert len(EFFECTS) == 59


@pytest.mark.parametrize("type_", sorted(EFFECTS))
def test_on_an_entity_that_exists(type_: str) -> None:
    payload, expected, _ = EFFECTS[type_]
    before = relationship(OLD) if type_.startswith("Assignment") else holon(OLD, status="inactive")
    if expected == NONE:
        expected = replace(before, version=2, position=20)
    assert apply(catalogue(), before, event(type_, payload)) == expected


@pytest.mark.parametrize("type_", sorted(EFFECTS))
def test_on_an_entity_that_does_not_exist(type_: str) -> None:
    payload, _, expected = EFFECTS[type_]
    assert apply(catalogue(), None, event(type_, payload)) == expected


@pytest.mark.parametrize("type_", sorted(set(EFFECTS) - {"AssignmentStarted"}))
def test_an_event_with_an_empty_payload_still_sets_last_modified(type_: str) -> None:
    before = relationship(OLD) if type_.startswith("Assignment") else holon(OLD)
    after = apply(catalogue(), before, event(type_))
    assert after is not None
    assert after.last_modified == (before.last_modified if type_.startswith("CalendarEvent") else LATER)


FULL: dict[str, Any] = {
    **OLD,
    "qualifications": {"q-0": {"status": "active"}},
    **{name: [{"timestamp": AT}] for name in ("measurements", "clauses", "violations")},
    "configuration": {"deep": {"er": []}},
}


@pytest.mark.parametrize("type_", sorted(EFFECTS))
def test_neither_the_state_nor_the_event_is_changed(type_: str) -> None:
    before = relationship(FULL) if type_.startswith("Assignment") else holon(FULL)
    recorded = event(type_, EFFECTS[type_][0])
    copies = deepcopy((before, recorded))
    after = apply(catalogue(), before, recorded)
    apply(catalogue(), after, msgspec.structs.replace(recorded, version=3))
    assert (before, recorded) == copies
    assert after != before
