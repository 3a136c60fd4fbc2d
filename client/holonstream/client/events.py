# Made by `holonstream schemas types` from the schemas; change it there.
"""A class for each event type, with the fields of its payload.

``append`` takes them like an ``Event``. Arguments without a default are those that the log requires.
A field that is left out is not in the payload; `extra` holds fields that the schema does not declare.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from msgspec import UNSET, UnsetType

from holonstream.schemas.event import TypedEvent

HolonType = Literal[
    "Person",
    "Position",
    "Organization",
    "Agent",
    "Location",
    "System",
    "Asset",
    "Capability",
    "Qualification",
    "Mission",
    "Objective",
    "KeyResult",
    "LOE",
    "Initiative",
    "Task",
    "Process",
    "Document",
    "Constraint",
    "GovernanceConfig",
    "MeasureDefinition",
    "LensDefinition",
]
RelationshipType = Literal[
    "CONTAINS",
    "HAS",
    "OCCUPIES",
    "MEMBER_OF",
    "BELONGS_TO",
    "PART_OF",
    "ADCON",
    "TACON",
    "OPCON",
    "RESPONSIBLE_FOR",
    "OWNED_BY",
    "OPERATED_BY",
    "GROUPED_UNDER",
    "ALIGNED_TO",
    "SUPPORTS",
    "ENABLES",
    "USES",
    "HELD_BY",
    "REQUIRED_FOR",
    "HAS_QUAL",
    "DEFINES",
    "AUTHORIZES",
    "SUPERSEDES",
    "DERIVED_FROM",
    "CAUSED_BY",
    "FOLLOWS",
    "GROUPED_WITH",
    "LOCATED_AT",
    "HOSTS",
    "STAGING_FOR",
    "OCCURS_AT",
    "ASSIGNED_TO",
    "PARTICIPATES_IN",
    "PRODUCES",
    "PROVIDES",
    "DEPENDS_ON",
    "MEASURED_BY",
    "EMITS_MEASURE",
    "GROUNDED_IN",
    "AFFECTS",
    "APPLIES_TO",
]


class AssetFailure(TypedEvent, frozen=True, kw_only=True):
    """An asset failed.

    subject: Id of the asset.
    system_id: The asset. Has no effect.
    status: Its status; "failed" when left out.
    details: Details. Has no effect.
    failure_code: What failed.
    """

    TYPE: ClassVar[str] = "AssetFailure"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    system_id: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    details: str | UnsetType = UNSET
    failure_code: str | UnsetType = UNSET


class AssetMaintenance(TypedEvent, frozen=True, kw_only=True):
    """An asset was maintained.

    subject: Id of the asset.
    system_id: The asset.
    status: Its status.
    configuration: How it is set up.
    details: Details.
    type: Kind of maintenance; a holon type takes the place of Asset when the asset is not known yet.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "AssetMaintenance"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    system_id: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    configuration: Any = UNSET
    details: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class AssetUpgrade(TypedEvent, frozen=True, kw_only=True):
    """An asset got new specifications.

    subject: Id of the asset.
    new_specs: The patch: each key replaces a property whole, null is stored.
    system_id: The asset. Has no effect.
    status: Its status. Has no effect.
    details: Details. Has no effect.
    """

    TYPE: ClassVar[str] = "AssetUpgrade"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    new_specs: dict[str, Any] | UnsetType = UNSET
    system_id: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    details: str | UnsetType = UNSET


class AssignmentCorrected(TypedEvent, frozen=True, kw_only=True):
    """Properties of a relationship were wrong.

    relationship_id: Identity of the relationship.
    source: Id of the source.
    target: Id of the target.
    corrections: Laid over the properties, null is stored. Ends, type and dates cannot be corrected.
    correction_reason: Why. Has no effect.
    original_payload: What was said before. Has no effect.
    """

    TYPE: ClassVar[str] = "AssignmentCorrected"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("source", "target")

    relationship_id: str
    source: str | UnsetType = UNSET
    target: str | UnsetType = UNSET
    corrections: dict[str, Any] | UnsetType = UNSET
    correction_reason: str | UnsetType = UNSET
    original_payload: dict[str, Any] | UnsetType = UNSET


class AssignmentEnded(TypedEvent, frozen=True, kw_only=True):
    """A relationship ended.

    relationship_id: Identity of the relationship.
    source: Id of the source.
    target: Id of the target.
    end_date: When; occurredAt when left out.
    reason: Why. Has no effect.
    """

    TYPE: ClassVar[str] = "AssignmentEnded"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("source", "target")

    relationship_id: str
    source: str | UnsetType = UNSET
    target: str | UnsetType = UNSET
    end_date: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET


class AssignmentStarted(TypedEvent, frozen=True, kw_only=True):
    """A relationship of any type began, from the first subject to the second.

    source: Id of the source.
    target: Id of the target.
    relationship_id: Identity of the relationship.
    relationship_type: Type of the relationship.
    person_id: The person. Has no effect: the subjects are the ends.
    position_id: The position. Has no effect: the subjects are the ends.
    role: Role. Has no effect: `properties` says it.
    rank: Grade. Has no effect: `properties` says it.
    person_name: Name. Has no effect: `properties` says it.
    properties: Properties of the relationship.
    authority_level: authoritative (when left out), derived or inferred.
    confidence_score: How sure the source is, usually 0 to 1; kept as it is.
    """

    TYPE: ClassVar[str] = "AssignmentStarted"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("source", "target")

    source: str
    target: str
    relationship_id: str
    relationship_type: RelationshipType
    person_id: str | UnsetType = UNSET
    position_id: str | UnsetType = UNSET
    role: str | UnsetType = UNSET
    rank: str | UnsetType = UNSET
    person_name: str | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET
    authority_level: str | UnsetType = UNSET
    confidence_score: float | UnsetType = UNSET


class CalendarEventCancelled(TypedEvent, frozen=True, kw_only=True):
    """A calendar entry was cancelled. Not part of the graph.

    subject: Id of the calendar entry.
    reason: Why.
    """

    TYPE: ClassVar[str] = "CalendarEventCancelled"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    reason: str | UnsetType = UNSET


class CalendarEventCreated(TypedEvent, frozen=True, kw_only=True):
    """A calendar entry was made. Not part of the graph.

    subject: Id of the calendar entry.
    event_id: The entry.
    title: Title.
    start_time: From when.
    end_time: Until when.
    type: Kind of entry.
    classification: Who may see it.
    participants: Objects with id, type and role.
    """

    TYPE: ClassVar[str] = "CalendarEventCreated"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    event_id: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    start_time: str | UnsetType = UNSET
    end_time: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    classification: str | UnsetType = UNSET
    participants: list[Any] | UnsetType = UNSET


class CalendarEventModified(TypedEvent, frozen=True, kw_only=True):
    """A calendar entry changed. Not part of the graph.

    subject: Id of the calendar entry.
    changes: What changed.
    """

    TYPE: ClassVar[str] = "CalendarEventModified"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    changes: dict[str, Any] | UnsetType = UNSET


class ClauseExtracted(TypedEvent, frozen=True, kw_only=True):
    """A clause was found in a document.

    subject: Id of the document.
    clause: Id of the clause.
    clause_id: The clause.
    source_document_id: The document. Has no effect.
    text: The text.
    location: Place in the document.
    """

    TYPE: ClassVar[str] = "ClauseExtracted"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject", "clause")

    subject: str
    clause: str | UnsetType = UNSET
    clause_id: str | UnsetType = UNSET
    source_document_id: str | UnsetType = UNSET
    text: str | UnsetType = UNSET
    location: str | UnsetType = UNSET


class ConstraintViolation(TypedEvent, frozen=True, kw_only=True):
    """A holon broke a rule.

    subject: Id of the violating holon.
    rule_id: The rule.
    violation_details: How.
    severity: Severity.
    """

    TYPE: ClassVar[str] = "ConstraintViolation"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    rule_id: str | UnsetType = UNSET
    violation_details: str | UnsetType = UNSET
    severity: str | UnsetType = UNSET


class DocumentCreated(TypedEvent, frozen=True, kw_only=True):
    """A document was written.

    subject: Id of the document.
    document_id: The document.
    title: Title.
    type: Kind of document; a holon type takes the place of Document.
    format: Format of the content.
    content: Content.
    version: Version of the document.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "DocumentCreated"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    document_id: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    format: str | UnsetType = UNSET
    content: str | UnsetType = UNSET
    version: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class DocumentIssued(TypedEvent, frozen=True, kw_only=True):
    """A document came into force.

    subject: Id of the document.
    title: Title.
    status: Its status.
    document_type: Kind of document.
    content: Content.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "DocumentIssued"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    title: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    document_type: str | UnsetType = UNSET
    content: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class DocumentPublished(TypedEvent, frozen=True, kw_only=True):
    """A version of a document was published.

    subject: Id of the document.
    document_id: The document.
    version: The version.
    published_at: When.
    approver_id: Who approved it.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "DocumentPublished"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    document_id: str | UnsetType = UNSET
    version: str | UnsetType = UNSET
    published_at: str | UnsetType = UNSET
    approver_id: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class DocumentRescinded(TypedEvent, frozen=True, kw_only=True):
    """A document is no longer in force.

    subject: Id of the document.
    reason: Why. Has no effect.
    """

    TYPE: ClassVar[str] = "DocumentRescinded"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    reason: str | UnsetType = UNSET


class DocumentUpdated(TypedEvent, frozen=True, kw_only=True):
    """A document changed.

    subject: Id of the document.
    changes: What changed, in words. Has no effect: the patch says it.
    properties: The patch: each key replaces a property whole, null is stored.
    updates: The patch, when `properties` is left out.
    diff: The patch, when `properties` and `updates` are left out.
    """

    TYPE: ClassVar[str] = "DocumentUpdated"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    changes: str | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET
    updates: dict[str, Any] | UnsetType = UNSET
    diff: dict[str, Any] | UnsetType = UNSET


class InitiativeCreated(TypedEvent, frozen=True, kw_only=True):
    """An initiative was begun.

    subject: Id of the initiative.
    initiative_id: The initiative.
    name: Name.
    owner_id: Who is responsible.
    status: Its status.
    stage: Its stage.
    description: Details.
    start_date: From when.
    target_end_date: Until when.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "InitiativeCreated"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    initiative_id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    owner_id: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    stage: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    start_date: str | UnsetType = UNSET
    target_end_date: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class InitiativeStageChange(TypedEvent, frozen=True, kw_only=True):
    """An initiative reached another stage.

    subject: Id of the initiative.
    status: Its status.
    stage: Its stage.
    new_stage: The new stage. Has no effect on a known initiative: `stage` says it.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "InitiativeStageChange"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    status: str | UnsetType = UNSET
    stage: str | UnsetType = UNSET
    new_stage: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class KeyResultDefined(TypedEvent, frozen=True, kw_only=True):
    """A measurable result of an objective was set.

    subject: Id of the key result.
    objective: Id of the objective.
    kr_id: The key result.
    objective_id: Its objective.
    statement: What is to be reached.
    target: Target value.
    baseline: Value at the start.
    owner_id: Who is responsible.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "KeyResultDefined"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject", "objective")

    subject: str
    objective: str | UnsetType = UNSET
    kr_id: str | UnsetType = UNSET
    objective_id: str | UnsetType = UNSET
    statement: str | UnsetType = UNSET
    target: float | UnsetType = UNSET
    baseline: float | UnsetType = UNSET
    owner_id: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class LOECreated(TypedEvent, frozen=True, kw_only=True):
    """A line of effort was set up.

    subject: Id of the line of effort.
    name: Name.
    lead_id: Who leads it.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "LOECreated"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    name: str | UnsetType = UNSET
    lead_id: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class LOEReframed(TypedEvent, frozen=True, kw_only=True):
    """A line of effort changed.

    subject: Id of the line of effort.
    new_name: The new name. Has no effect: the patch says what changes.
    properties: The patch: each key replaces a property whole, null is stored.
    updates: The patch, when `properties` is left out.
    diff: The patch, when `properties` and `updates` are left out.
    """

    TYPE: ClassVar[str] = "LOEReframed"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    new_name: str | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET
    updates: dict[str, Any] | UnsetType = UNSET
    diff: dict[str, Any] | UnsetType = UNSET


class LensEvaluated(TypedEvent, frozen=True, kw_only=True):
    """A holon was judged through a lens.

    subject: Id of the lens definition.
    judged_holon: Id of the judged holon.
    value: What was measured; kept as it is.
    measure_id: The measure.
    measure_definition_id: The measure, when `measureId` is left out.
    lens_id: The lens. Has no effect.
    result: The outcome. Has no effect.
    """

    TYPE: ClassVar[str] = "LensEvaluated"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject", "judged_holon")
    NAMES: ClassVar[Mapping[str, str]] = {"measure_definition_id": "measureDefinitionID"}

    subject: str
    judged_holon: str | UnsetType = UNSET
    value: Any = UNSET
    measure_id: str | UnsetType = UNSET
    measure_definition_id: str | UnsetType = UNSET
    lens_id: str | UnsetType = UNSET
    result: dict[str, Any] | UnsetType = UNSET


class MeasureEmitted(TypedEvent, frozen=True, kw_only=True):
    """A measure of a holon was taken.

    subject: Id of the measure definition.
    measured_holon: Id of the measured holon.
    value: What was measured; kept as it is.
    measure_id: The measure.
    measure_definition_id: The measure, when `measureId` is left out.
    metric_id: The metric. Has no effect.
    unit: Unit of the value. Has no effect.
    """

    TYPE: ClassVar[str] = "MeasureEmitted"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject", "measured_holon")
    NAMES: ClassVar[Mapping[str, str]] = {"measure_definition_id": "measureDefinitionID"}

    subject: str
    measured_holon: str | UnsetType = UNSET
    value: str | float | UnsetType = UNSET
    measure_id: str | UnsetType = UNSET
    measure_definition_id: str | UnsetType = UNSET
    metric_id: str | UnsetType = UNSET
    unit: str | UnsetType = UNSET


class MissionApproved(TypedEvent, frozen=True, kw_only=True):
    """A mission was approved.

    subject: Id of the mission.
    mission_state: Status of the mission.
    approver_id: By whom.
    approval_date: When.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "MissionApproved"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    mission_state: str | UnsetType = UNSET
    approver_id: str | UnsetType = UNSET
    approval_date: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class MissionCompleted(TypedEvent, frozen=True, kw_only=True):
    """A mission came to its end.

    subject: Id of the mission.
    completion_status: success, failure or partial. Has no effect: the property becomes "completed".
    summary: The outcome. Has no effect.
    """

    TYPE: ClassVar[str] = "MissionCompleted"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    completion_status: str | UnsetType = UNSET
    summary: str | UnsetType = UNSET


class MissionDebriefed(TypedEvent, frozen=True, kw_only=True):
    """A mission was debriefed.

    subject: Id of the mission.
    report_id: The report. Has no effect.
    attendees: Who took part. Has no effect.
    """

    TYPE: ClassVar[str] = "MissionDebriefed"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    report_id: str | UnsetType = UNSET
    attendees: list[Any] | UnsetType = UNSET


class MissionLaunched(TypedEvent, frozen=True, kw_only=True):
    """A mission began.

    subject: Id of the mission.
    mission_state: Status of the mission.
    launch_time: When.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "MissionLaunched"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    mission_state: str | UnsetType = UNSET
    launch_time: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class MissionPhaseTransition(TypedEvent, frozen=True, kw_only=True):
    """A mission went from one phase to the next.

    subject: Id of the mission.
    phase: The new phase.
    to_phase: The new phase, when `phase` is left out.
    from_phase: The phase before. Has no effect.
    """

    TYPE: ClassVar[str] = "MissionPhaseTransition"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    phase: str | UnsetType = UNSET
    to_phase: str | UnsetType = UNSET
    from_phase: str | UnsetType = UNSET


class MissionPlanned(TypedEvent, frozen=True, kw_only=True):
    """A mission was planned.

    subject: Id of the mission.
    mission_state: Status of the mission.
    name: Name.
    commander_id: Its commander.
    objectives: What it is to reach.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "MissionPlanned"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    mission_state: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    commander_id: str | UnsetType = UNSET
    objectives: list[Any] | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class ObjectiveClosed(TypedEvent, frozen=True, kw_only=True):
    """An objective is no longer pursued.

    subject: Id of the objective.
    result: The outcome. Has no effect.
    """

    TYPE: ClassVar[str] = "ObjectiveClosed"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    result: str | UnsetType = UNSET


class ObjectiveCreated(TypedEvent, frozen=True, kw_only=True):
    """An objective was set.

    subject: Id of the objective.
    objective_id: The objective.
    statement: What is to be reached.
    owner_id: Who is responsible.
    time_horizon: Until when.
    narrative: Details.
    level: Level, such as strategic.
    status: Its status.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "ObjectiveCreated"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    objective_id: str | UnsetType = UNSET
    statement: str | UnsetType = UNSET
    owner_id: str | UnsetType = UNSET
    time_horizon: str | UnsetType = UNSET
    narrative: str | UnsetType = UNSET
    level: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class ObjectiveRescoped(TypedEvent, frozen=True, kw_only=True):
    """An objective changed.

    subject: Id of the objective.
    new_statement: What is to be reached. Has no effect: the patch says what changes.
    new_time_horizon: Until when. Has no effect: the patch says what changes.
    properties: The patch: each key replaces a property whole, null is stored.
    updates: The patch, when `properties` is left out.
    diff: The patch, when `properties` and `updates` are left out.
    """

    TYPE: ClassVar[str] = "ObjectiveRescoped"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    new_statement: str | UnsetType = UNSET
    new_time_horizon: str | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET
    updates: dict[str, Any] | UnsetType = UNSET
    diff: dict[str, Any] | UnsetType = UNSET


class ObligationDefined(TypedEvent, frozen=True, kw_only=True):
    """An obligation follows from a clause.

    subject: Id of the obligation.
    obligation_id: The obligation.
    source_clause_id: The clause that it follows from.
    description: What is to be done.
    responsible_role: Who is to do it.
    frequency: How often.
    recurrence_rule: When, as a rule.
    first_due_date: First due date.
    window_days: Days of grace.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "ObligationDefined"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    obligation_id: str | UnsetType = UNSET
    source_clause_id: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    responsible_role: str | UnsetType = UNSET
    frequency: str | UnsetType = UNSET
    recurrence_rule: str | UnsetType = UNSET
    first_due_date: str | UnsetType = UNSET
    window_days: float | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class OrganizationCreated(TypedEvent, frozen=True, kw_only=True):
    """An organization was set up.

    subject: Id of the organization.
    name: Name.
    type: Subtype, such as squadron; a holon type takes the place of Organization.
    parent_id: The parent organization.
    uic: Unit identification code.
    mission_statement: What it is for.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "OrganizationCreated"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    name: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    parent_id: str | UnsetType = UNSET
    uic: str | UnsetType = UNSET
    mission_statement: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class OrganizationDeactivated(TypedEvent, frozen=True, kw_only=True):
    """An organization ceased to act.

    subject: Id of the organization.
    organization_id: The organization. Has no effect.
    reason: Why.
    deactivation_date: When. Has no effect.
    """

    TYPE: ClassVar[str] = "OrganizationDeactivated"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    organization_id: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    deactivation_date: str | UnsetType = UNSET


class OrganizationRealigned(TypedEvent, frozen=True, kw_only=True):
    """An organization moved or changed.

    subject: Id of the organization.
    new_parent: Id of the new parent.
    organization_id: The organization. Has no effect.
    new_parent_id: The new parent. Has no effect: the patch says what changes.
    effective_date: From when. Has no effect.
    authorization_document: Authority for the change. Has no effect.
    properties: The patch: each key replaces a property whole, null is stored.
    updates: The patch, when `properties` is left out.
    diff: The patch, when `properties` and `updates` are left out.
    """

    TYPE: ClassVar[str] = "OrganizationRealigned"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject", "new_parent")

    subject: str
    new_parent: str | UnsetType = UNSET
    organization_id: str | UnsetType = UNSET
    new_parent_id: str | UnsetType = UNSET
    effective_date: str | UnsetType = UNSET
    authorization_document: str | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET
    updates: dict[str, Any] | UnsetType = UNSET
    diff: dict[str, Any] | UnsetType = UNSET


class PersonCreated(TypedEvent, frozen=True, kw_only=True):
    """A person became known.

    subject: Id of the person.
    name: Full name.
    rank: Grade.
    email: E-mail address.
    identifiers: Identifiers by scheme.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "PersonCreated"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    name: str | UnsetType = UNSET
    rank: str | UnsetType = UNSET
    email: str | UnsetType = UNSET
    identifiers: dict[str, Any] | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class PersonModified(TypedEvent, frozen=True, kw_only=True):
    """Facts about a person changed.

    subject: Id of the person.
    diff: The patch, usually in this field.
    properties: The patch: each key replaces a property whole, null is stored.
    updates: The patch, when `properties` is left out.
    """

    TYPE: ClassVar[str] = "PersonModified"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    diff: dict[str, Any] | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET
    updates: dict[str, Any] | UnsetType = UNSET


class PositionCreated(TypedEvent, frozen=True, kw_only=True):
    """A position was set up.

    subject: Id of the position.
    organization: Id of the organization.
    org_id: Its organization.
    title: Title.
    billet_ids: Billets.
    billet_type: Kind of billet.
    criticality: How critical it is.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "PositionCreated"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject", "organization")
    NAMES: ClassVar[Mapping[str, str]] = {"billet_ids": "billetIDs"}

    subject: str
    organization: str | UnsetType = UNSET
    org_id: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    billet_ids: list[Any] | UnsetType = UNSET
    billet_type: str | UnsetType = UNSET
    criticality: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class PositionDeactivated(TypedEvent, frozen=True, kw_only=True):
    """A position ceased to exist.

    subject: Id of the position.
    position_id: The position. Has no effect.
    reason: Why.
    """

    TYPE: ClassVar[str] = "PositionDeactivated"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    position_id: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET


class PositionModified(TypedEvent, frozen=True, kw_only=True):
    """Facts about a position changed.

    subject: Id of the position.
    position_id: The position. Has no effect.
    title: The new title. Has no effect: the patch says what changes.
    org_id: The new organization. Has no effect: the patch says what changes.
    updates: The patch, usually in this field.
    properties: The patch: each key replaces a property whole, null is stored.
    diff: The patch, when `properties` and `updates` are left out.
    """

    TYPE: ClassVar[str] = "PositionModified"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    position_id: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    org_id: str | UnsetType = UNSET
    updates: dict[str, Any] | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET
    diff: dict[str, Any] | UnsetType = UNSET


class ProcessArchived(TypedEvent, frozen=True, kw_only=True):
    """A process is no longer in use.

    subject: Id of the process.
    reason: Why. Has no effect.
    """

    TYPE: ClassVar[str] = "ProcessArchived"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    reason: str | UnsetType = UNSET


class ProcessDefined(TypedEvent, frozen=True, kw_only=True):
    """A process was set up.

    subject: Id of the process.
    process_id: The process.
    name: Name.
    description: What it does.
    steps: Its steps.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "ProcessDefined"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    process_id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    steps: list[Any] | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class ProcessUpdated(TypedEvent, frozen=True, kw_only=True):
    """A process changed.

    subject: Id of the process.
    updates: The patch, usually in this field.
    properties: The patch: each key replaces a property whole, null is stored.
    diff: The patch, when `properties` and `updates` are left out.
    """

    TYPE: ClassVar[str] = "ProcessUpdated"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    updates: dict[str, Any] | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET
    diff: dict[str, Any] | UnsetType = UNSET


class QualificationAwarded(TypedEvent, frozen=True, kw_only=True):
    """A holder was given a qualification.

    subject: Id of the holder.
    qualification: Id of the qualification.
    qualification_id: Key of the entry: a text, or the JSON text of a number or true.
    person_id: The holder. Has no effect.
    awarded_date: When. Has no effect.
    expiration_date: Until when. Has no effect.
    """

    TYPE: ClassVar[str] = "QualificationAwarded"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject", "qualification")

    subject: str
    qualification: str | UnsetType = UNSET
    qualification_id: str | UnsetType = UNSET
    person_id: str | UnsetType = UNSET
    awarded_date: str | UnsetType = UNSET
    expiration_date: str | UnsetType = UNSET


class QualificationDefined(TypedEvent, frozen=True, kw_only=True):
    """A qualification was set up.

    subject: Id of the qualification.
    name: Name.
    code: Short code.
    prerequisites: Qualifications that it needs.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "QualificationDefined"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    name: str | UnsetType = UNSET
    code: str | UnsetType = UNSET
    prerequisites: list[Any] | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class QualificationExpired(TypedEvent, frozen=True, kw_only=True):
    """A holder's qualification ran out.

    subject: Id of the holder.
    qualification: Id of the qualification.
    qualification_id: Key of the entry: a text, or the JSON text of a number or true.
    """

    TYPE: ClassVar[str] = "QualificationExpired"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject", "qualification")

    subject: str
    qualification: str | UnsetType = UNSET
    qualification_id: str | UnsetType = UNSET


class QualificationRenewed(TypedEvent, frozen=True, kw_only=True):
    """A holder's qualification was renewed.

    subject: Id of the holder.
    qualification: Id of the qualification.
    qualification_id: Key of the entry: a text, or the JSON text of a number or true.
    new_expiration_date: Until when. Has no effect.
    """

    TYPE: ClassVar[str] = "QualificationRenewed"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject", "qualification")

    subject: str
    qualification: str | UnsetType = UNSET
    qualification_id: str | UnsetType = UNSET
    new_expiration_date: str | UnsetType = UNSET


class QualificationRevoked(TypedEvent, frozen=True, kw_only=True):
    """A holder's qualification was taken away.

    subject: Id of the holder.
    qualification: Id of the qualification.
    qualification_id: Key of the entry: a text, or the JSON text of a number or true.
    reason: Why. Has no effect.
    revoked_by: By whom. Has no effect.
    """

    TYPE: ClassVar[str] = "QualificationRevoked"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject", "qualification")

    subject: str
    qualification: str | UnsetType = UNSET
    qualification_id: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    revoked_by: str | UnsetType = UNSET


class SystemDeployed(TypedEvent, frozen=True, kw_only=True):
    """A system was put into service.

    subject: Id of the system.
    system_id: The system.
    status: Its status.
    configuration: How it is set up.
    details: Details.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "SystemDeployed"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    system_id: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    configuration: Any = UNSET
    details: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class SystemDeprecated(TypedEvent, frozen=True, kw_only=True):
    """A system is no longer to be used.

    subject: Id of the system.
    system_id: The system. Has no effect.
    status: Its status; "deprecated" when left out.
    details: Details. Has no effect.
    """

    TYPE: ClassVar[str] = "SystemDeprecated"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    system_id: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    details: str | UnsetType = UNSET


class SystemOutage(TypedEvent, frozen=True, kw_only=True):
    """A system failed to serve.

    subject: Id of the system.
    system_id: The system. Has no effect.
    status: Its status; "outage" when left out.
    details: Details. Has no effect.
    severity: Severity.
    estimated_resolution: When it is expected to serve again.
    """

    TYPE: ClassVar[str] = "SystemOutage"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    system_id: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    details: str | UnsetType = UNSET
    severity: str | UnsetType = UNSET
    estimated_resolution: str | UnsetType = UNSET


class SystemUpdated(TypedEvent, frozen=True, kw_only=True):
    """A system got another version or configuration.

    subject: Id of the system.
    system_id: The system.
    status: Its status.
    configuration: How it is set up.
    details: Details.
    version: The version.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "SystemUpdated"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    system_id: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    configuration: Any = UNSET
    details: str | UnsetType = UNSET
    version: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class TaskAssigned(TypedEvent, frozen=True, kw_only=True):
    """A task was given to somebody.

    subject: Id of the task.
    assignee: Id of the assignee.
    status: Its status.
    stage: Its stage.
    assignee_id: Who is to do it.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "TaskAssigned"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject", "assignee")

    subject: str
    assignee: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    stage: str | UnsetType = UNSET
    assignee_id: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class TaskBlocked(TypedEvent, frozen=True, kw_only=True):
    """A task cannot go on.

    subject: Id of the task.
    status: Its status.
    stage: Its stage.
    reason: Why.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "TaskBlocked"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    status: str | UnsetType = UNSET
    stage: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class TaskCancelled(TypedEvent, frozen=True, kw_only=True):
    """A task was cancelled.

    subject: Id of the task.
    status: Its status.
    stage: Its stage.
    reason: Why.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "TaskCancelled"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    status: str | UnsetType = UNSET
    stage: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class TaskCompleted(TypedEvent, frozen=True, kw_only=True):
    """A task was done.

    subject: Id of the task.
    status: Its status.
    stage: Its stage.
    outcome: The outcome.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "TaskCompleted"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    status: str | UnsetType = UNSET
    stage: str | UnsetType = UNSET
    outcome: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class TaskCreated(TypedEvent, frozen=True, kw_only=True):
    """A task was set.

    subject: Id of the task.
    status: Its status.
    stage: Its stage.
    task_id: The task.
    title: Title.
    description: What is to be done.
    assignee_id: Who is to do it.
    priority: How urgent it is.
    due_date: Until when.
    type: Kind of task; a holon type takes the place of Task.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "TaskCreated"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    status: str | UnsetType = UNSET
    stage: str | UnsetType = UNSET
    task_id: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    assignee_id: str | UnsetType = UNSET
    priority: str | UnsetType = UNSET
    due_date: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET


class TaskStarted(TypedEvent, frozen=True, kw_only=True):
    """Work on a task began.

    subject: Id of the task.
    status: Its status.
    stage: Its stage.
    start_time: When.
    holon_type: Type of the holon; when left out, a flat `type` that is a holon type counts.
    properties: Properties, which take precedence over the other fields.
    """

    TYPE: ClassVar[str] = "TaskStarted"
    VERSION: ClassVar[int] = 1
    SUBJECTS: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str
    status: str | UnsetType = UNSET
    stage: str | UnsetType = UNSET
    start_time: str | UnsetType = UNSET
    holon_type: HolonType | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET
