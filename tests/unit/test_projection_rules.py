"""The fold's rules, one by one (docs/domain.md, Fold, Operations)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from holonstream.schemas.errors import CannotApply
from holonstream.schemas.event import ValidityWindow
from holonstream.schemas.projection import apply, fold, modifications
from holonstream.schemas.state import Holon, Relationship
from tests.unit.schema_support import AT, LATER, catalogue, event, holon, relationship

NOT_PRESENT: list[Any] = [None, False, 0, 0.0, ""]


def apply_holon(type_: str, payload: dict[str, Any], before: Holon | None = None, **more: Any) -> Holon:
    after = apply(catalogue(), before, event(type_, payload, **more))
    assert isinstance(after, Holon)
    return after


def apply_relationship(type_: str, payload: dict[str, Any], before: Relationship | None) -> Relationship:
    after = apply(catalogue(), before, event(type_, payload))
    assert isinstance(after, Relationship)
    return after


# --- create_holon ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "type_", "properties"),
    [
        ({"holonType": "Capability", "name": "n"}, "Capability", {"name": "n"}),
        ({"type": "Location"}, "Location", {}),
        ({"type": "squadron"}, "Organization", {"type": "squadron"}),
        ({"holonType": "Agent", "type": "squadron"}, "Agent", {"type": "squadron"}),
        ({"holonType": "Agent", "type": "Location"}, "Agent", {}),
        ({"type": ["Location"]}, "Organization", {"type": ["Location"]}),
        ({"type": "squadron", "properties": {"type": "wing"}}, "Organization", {"type": "wing"}),
        (
            {"properties": {"type": "Person", "holonType": "Person"}},
            "Organization",
            {"type": "Person", "holonType": "Person"},
        ),
        ({"id": "x", "status": "y", "createdAt": 0}, "Organization", {"id": "x", "status": "y", "createdAt": 0}),
        ({"name": "flat", "properties": {"name": "nested"}}, "Organization", {"name": "nested"}),
        ({"n": None, "z": 0, "big": 2**90, "properties": None}, "Organization", {"n": None, "z": 0, "big": 2**90}),
        ({"properties": {"properties": {"a": 1}}}, "Organization", {"properties": {"a": 1}}),
        ({"a.b": 1, "": 2, "$k": {"": None}}, "Organization", {"a.b": 1, "": 2, "$k": {"": None}}),
    ],
)
def test_create(payload: dict[str, Any], type_: str, properties: dict[str, Any]) -> None:
    after = apply_holon("OrganizationCreated", payload)
    assert (after.type, after.properties, after.status) == (type_, properties, "active")


@pytest.mark.parametrize("nothing", NOT_PRESENT)
def test_a_holon_type_that_is_not_present_is_left_out(nothing: Any) -> None:
    after = apply_holon("OrganizationCreated", {"holonType": nothing, "type": "Agent", "properties": nothing})
    assert (after.type, after.properties) == ("Agent", {})


@pytest.mark.parametrize("wrong", ["Squad", "person", ["Person"], {"a": 1}, 5, True])
def test_a_holon_type_beyond_the_21_is_refused(wrong: Any) -> None:
    with pytest.raises(CannotApply, match=r"Unknown holon type: .* in OrganizationCreated \(event e-2, holon/h-1"):
        apply_holon("OrganizationCreated", {"holonType": wrong})


def test_a_second_create_replaces_the_whole_holon() -> None:
    before = holon({"old": 1}, type_="Person", status="inactive")
    after = apply_holon("OrganizationCreated", {"new": 2}, before, document="d-2")
    assert after == replace(
        before,
        type="Organization",
        properties={"new": 2},
        status="active",
        created_at=LATER,
        created_by="e-2",
        source_documents=("d-2",),
        last_modified=LATER,
        version=2,
        position=20,
    )


def test_a_create_without_subject_is_refused() -> None:
    creating = msgspec.structs.replace(event("PersonCreated"), subjects=())
    with pytest.raises(CannotApply, match="Missing subject"):
        apply(catalogue(), None, creating)


# --- patch_holon ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "properties"),
    [
        ({"properties": {"a": 1}, "updates": {"b": 1}, "diff": {"c": 1}}, {"k": {"x": 1}, "a": 1}),
        ({"updates": {"b": 1}, "diff": {"c": 1}}, {"k": {"x": 1}, "b": 1}),
        ({"diff": {"c": 1}}, {"k": {"x": 1}, "c": 1}),
        ({"properties": {}, "updates": {"b": 1}}, {"k": {"x": 1}}),
        ({"properties": {}, "updates": "not looked at"}, {"k": {"x": 1}}),
        ({"updates": {"k": {"y": 2}}}, {"k": {"y": 2}}),
        ({"updates": {"k": None}}, {"k": None}),
        ({"b": 1}, {"k": {"x": 1}}),
        *(({"properties": nothing, "updates": {"b": 1}}, {"k": {"x": 1}, "b": 1}) for nothing in NOT_PRESENT),
    ],
)
def test_patch(payload: dict[str, Any], properties: dict[str, Any]) -> None:
    after = apply_holon("PositionModified", payload, holon({"k": {"x": 1}}, status="inactive"))
    assert (after.properties, after.status, after.last_modified) == (properties, "inactive", LATER)
    catalogue().get("PositionModified").check(payload, None)


@pytest.mark.parametrize("wrong", [[], [1], "text", 5, True])
def test_a_patch_that_is_no_object_is_refused(wrong: Any) -> None:
    with pytest.raises(CannotApply, match="Not an object"):
        apply_holon("PositionModified", {"updates": wrong}, holon())


# --- set_present, set_property --------------------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", NOT_PRESENT)
def test_set_present_leaves_out_what_is_not_present(nothing: Any) -> None:
    after = apply_holon("TaskStarted", {"status": nothing, "stage": "s"}, holon({"status": "old"}))
    assert after.properties == {"status": "old", "stage": "s"}


@pytest.mark.parametrize("empty", [{}, []])
def test_an_empty_object_or_array_is_present(empty: Any) -> None:
    after = apply_holon("SystemDeployed", {"configuration": empty}, holon({"configuration": {"a": 1}}))
    assert after.properties == {"configuration": empty}


@pytest.mark.parametrize("nothing", NOT_PRESENT)
def test_the_create_half_of_set_present_keeps_what_is_not_present(nothing: Any) -> None:
    after = apply_holon("TaskStarted", {"status": nothing, "type": "repair"})
    assert (after.type, after.properties) == ("Task", {"status": nothing, "type": "repair"})


@pytest.mark.parametrize("first", [*NOT_PRESENT, "absent"])
@pytest.mark.parametrize("second", [*NOT_PRESENT, "absent"])
def test_a_phase_that_is_not_present_changes_nothing_but_is_noted(first: Any, second: Any) -> None:
    payload = {name: value for name, value in (("phase", first), ("toPhase", second)) if value != "absent"}
    before = holon({"currentPhase": "old"})
    assert apply_holon("MissionPhaseTransition", payload, before) == replace(
        before, last_modified=LATER, version=2, position=20
    )


def test_the_first_present_phase_counts() -> None:
    after = apply_holon("MissionPhaseTransition", {"phase": [], "toPhase": "t"}, holon())
    assert after.properties == {"currentPhase": [], "phaseTransitionTime": LATER}


@pytest.mark.parametrize(
    ("type_", "default"), [("SystemOutage", "outage"), ("SystemDeprecated", "deprecated"), ("AssetFailure", "failed")]
)
def test_the_status_of_the_payload_comes_before_the_default(type_: str, default: str) -> None:
    assert apply_holon(type_, {"status": "s"}, holon()).properties == {"status": "s"}
    assert apply_holon(type_, {"status": ""}, holon()).properties == {"status": default}


def test_a_deprecated_system_is_inactive() -> None:
    assert apply_holon("SystemDeprecated", {}, holon({"a": 1})).status == "inactive"


# --- put_in_map, append_to_list -------------------------------------------------------------------------------------

ENTRY = {"status": "active", "lastUpdated": LATER}


@pytest.mark.parametrize(
    ("key", "name"), [("q", "q"), (5, "5"), (True, "true"), (1.5, "1.5"), (-1, "-1"), ("a.b", "a.b")]
)
def test_a_key_that_is_no_string_counts_by_its_json_text(key: Any, name: str) -> None:
    after = apply_holon("QualificationAwarded", {"qualificationId": key}, holon())
    assert after.properties == {"qualifications": {name: ENTRY}}


@pytest.mark.parametrize("key", [[], {}, [1], {"a": 1}])
def test_a_key_that_is_an_object_or_array_is_refused(key: Any) -> None:
    with pytest.raises(CannotApply, match="Not a key for 'qualifications'"):
        apply_holon("QualificationAwarded", {"qualificationId": key}, holon())
    assert not catalogue().get("QualificationAwarded").validator.is_valid({"qualificationId": key})


@pytest.mark.parametrize("nothing", NOT_PRESENT)
def test_without_key_only_the_map_appears(nothing: Any) -> None:
    assert apply_holon("QualificationAwarded", {"qualificationId": nothing}, holon()).properties == {
        "qualifications": {}
    }
    filled = holon({"qualifications": {"q": {"status": "x", "more": 1}}})
    assert apply_holon("QualificationAwarded", {}, filled).properties == filled.properties


@pytest.mark.parametrize("nothing", NOT_PRESENT)
def test_a_map_or_list_that_is_not_present_is_made(nothing: Any) -> None:
    awarded = apply_holon("QualificationAwarded", {"qualificationId": "q"}, holon({"qualifications": nothing}))
    assert awarded.properties == {"qualifications": {"q": ENTRY}}
    extracted = apply_holon("ClauseExtracted", {"text": "t"}, holon({"clauses": nothing}))
    assert extracted.properties == {"clauses": [{"text": "t"}]}


def test_an_entry_is_replaced_whole() -> None:
    before = holon({"qualifications": {"q": {"status": "x", "more": 1}, "other": 1}})
    after = apply_holon("QualificationAwarded", {"qualificationId": "q"}, before)
    assert after.properties == {"qualifications": {"q": ENTRY, "other": 1}}


@pytest.mark.parametrize("other", [[], ["q-1"], "text", 5, True])
def test_a_property_that_is_no_map_is_left_and_reported(other: Any) -> None:
    lines: list[str] = []
    before = holon({"qualifications": other})
    after = apply(catalogue(), before, event("QualificationAwarded", {"qualificationId": "q"}), report=lines.append)
    assert after == replace(before, last_modified=LATER, version=2, position=20)
    assert len(lines) == 1
    assert "QualificationAwarded (event e-2, holon/h-1 version 2)" in lines[0]


@pytest.mark.parametrize("other", [{}, {"a": 1}, "text", 5, True])
def test_appending_to_a_property_that_is_no_list_is_refused(other: Any) -> None:
    with pytest.raises(CannotApply, match="Cannot append to 'measurements': no list but"):
        apply_holon("MeasureEmitted", {"value": 1}, holon({"measurements": other}))


@pytest.mark.parametrize(
    ("payload", "entry"),
    [
        ({"value": None, "measureId": "m"}, {"value": None, "measureId": "m"}),
        ({"measureId": "m", "measureDefinitionID": "d"}, {"measureId": "m"}),
        ({"value": 0, "measureId": "", "measureDefinitionID": "d"}, {"value": 0, "measureId": "d"}),
        ({"measureId": None, "measureDefinitionID": None}, {"measureId": None}),
        ({"measureId": None}, {}),
        ({}, {}),
    ],
)
def test_the_entry_of_a_measurement(payload: dict[str, Any], entry: dict[str, Any]) -> None:
    after = apply_holon("LensEvaluated", payload, holon({"measurements": ["first"]}))
    assert after.properties == {"measurements": ["first", {"type": "LensEvaluated", "timestamp": LATER, **entry}]}


# --- relationships --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", [*NOT_PRESENT, "absent"])
def test_an_end_without_date_is_when_it_occurred(nothing: Any) -> None:
    payload = {} if nothing == "absent" else {"endDate": nothing}
    assert apply_relationship("AssignmentEnded", payload, relationship()).effective_end == LATER


def test_a_second_end_overwrites_and_may_come_before_the_start() -> None:
    ended = relationship(end="2024-04-01T00:00:00.000Z")
    after = apply_relationship("AssignmentEnded", {"endDate": "1999-12-31T23:00:00-01:00"}, ended)
    assert after.effective_end == "2000-01-01T00:00:00.000Z"


@pytest.mark.parametrize("wrong", ["soon", "2024-02-30", 5, [], {}, True])
def test_an_end_date_that_is_no_instant_is_refused(wrong: Any) -> None:
    with pytest.raises(CannotApply, match="Not an instant"):
        apply_relationship("AssignmentEnded", {"endDate": wrong}, relationship())


@pytest.mark.parametrize("nothing", [*NOT_PRESENT, "absent"])
def test_a_correction_without_corrections_is_noted(nothing: Any) -> None:
    payload = {} if nothing == "absent" else {"corrections": nothing}
    before = relationship({"a": 1})
    assert apply_relationship("AssignmentCorrected", payload, before) == replace(
        before, last_modified=LATER, version=2, position=20
    )


def test_a_second_start_replaces_the_relationship_and_opens_it() -> None:
    before = relationship({"a": 1}, end=AT)
    after = apply(
        catalogue(), before, event("AssignmentStarted", {"relationshipType": "USES"}, subjects=("h-8", "h-9"))
    )
    assert isinstance(after, Relationship)
    assert (after.type, after.source, after.target) == ("USES", "h-8", "h-9")
    assert (after.properties, after.effective_start, after.effective_end) == ({}, LATER, None)
    assert (after.authority_level, after.confidence_score) == ("authoritative", None)


@pytest.mark.parametrize("wrong", [None, "Unknown", "occupies", ["USES"], {}])
def test_a_relationship_type_beyond_the_41_is_refused(wrong: Any) -> None:
    with pytest.raises(CannotApply, match="Unknown relationship type"):
        apply(catalogue(), None, event("AssignmentStarted", {"relationshipType": wrong}))


def test_a_start_without_both_ends_is_refused() -> None:
    with pytest.raises(CannotApply, match="Missing end"):
        apply(catalogue(), None, event("AssignmentStarted", {"relationshipType": "USES"}, subjects=("h-1",)))


def test_a_start_without_relationship_id_has_no_effect() -> None:
    starting = event("AssignmentStarted", {"relationshipType": "USES", "relationshipId": None})
    assert apply(catalogue(), None, starting) is None


@pytest.mark.parametrize("field", ["authorityLevel", "confidenceScore"])
def test_a_field_that_no_relationship_can_hold_is_refused(field: str) -> None:
    payload = {"relationshipId": "r-1", "relationshipType": "USES", field: {"a": 1}}
    with pytest.raises(CannotApply):
        apply(catalogue(), None, event("AssignmentStarted", payload))
    assert not catalogue().get("AssignmentStarted").validator.is_valid(payload)


# --- time, versions, what is unknown --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "valid"),
    [
        (LATER, LATER, True),
        (None, None, True),
        ("2024-03-02T08:00:00.001Z", None, False),
        (None, "2024-03-02T07:59:59.999Z", False),
        ("2024-03-02T10:00:00+02:00", None, True),
        ("2024-03-02", "2024-03-03", True),
        ("2024-03-03", "2024-03-04", False),
    ],
)
def test_the_validity_window_is_compared_with_occurred_at(start: str | None, end: str | None, valid: bool) -> None:
    before = replace(holon(), version=2, position=20)
    windowed = event("PersonModified", {"diff": {"a": 1}}, window=ValidityWindow(start=start, end=end))
    after = apply(catalogue(), holon(), windowed)
    assert after == (replace(before, properties={"a": 1}, last_modified=LATER) if valid else before)


def test_as_of_an_instant() -> None:
    window = ValidityWindow(start=None, end="2024-03-05T00:00:00.000Z")
    events = [
        event("PersonCreated", {}, version=1, at="2024-03-01T00:00:00.000Z"),
        event("PersonModified", {"diff": {"late": 1}}, version=2, at="2024-03-10T00:00:00.000Z"),
        event("PersonModified", {"diff": {"back": 1}}, version=3, at="2024-03-02T00:00:00.000Z"),
        event("PersonModified", {"diff": {"for a time": 1}}, version=4, at="2024-03-03T00:00:00.000Z", window=window),
    ]

    def at(instant: str | None) -> dict[str, Any] | None:
        state = fold(catalogue(), events, at=instant).get("holon/h-1")
        return None if state is None else state.properties

    assert at("2024-02-29T23:59:59.999Z") is None
    assert at("2024-03-01T00:00:00.000Z") == {}
    assert at("2024-03-04T00:00:00.000Z") == {"back": 1, "for a time": 1}
    assert at("2024-03-10T00:00:00.000Z") == {"late": 1, "back": 1}
    assert at(None) == {"late": 1, "back": 1, "for a time": 1}


def test_an_unknown_type_has_no_effect() -> None:
    before = holon({"a": 1})
    assert apply(catalogue(), before, event("NeverHeardOf", {"a": 2})) == replace(before, version=2, position=20)
    assert apply(catalogue(), None, event("NeverHeardOf")) is None


def test_a_version_newer_than_the_catalogue_is_not_skipped_but_refused() -> None:
    with pytest.raises(CannotApply, match="PersonModified version 7"):
        apply(catalogue(), holon(), event("PersonModified", {"diff": {}}, schema_version=7))


def test_an_event_that_the_state_has_seen_has_no_effect() -> None:
    state = replace(holon(), version=5)
    assert apply(catalogue(), state, event("PersonModified", {"diff": {"a": 1}}, version=5)) is state


def test_modifications_start_again_with_a_create() -> None:
    events = [
        event("PersonModified", {}, version=1),
        event("PersonCreated", {}, version=2),
        event("CalendarEventCreated", {}, version=3),
        event("PersonModified", {}, version=4),
        event("TaskStarted", {}, version=5),
    ]
    assert modifications(catalogue(), events) == {"holon/h-1": ("e-2", "e-4", "e-5")}
    again = [*events, *events, event("PersonCreated", {}, version=6)]
    assert modifications(catalogue(), again) == {"holon/h-1": ("e-6",)}
