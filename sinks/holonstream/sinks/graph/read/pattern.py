"""A pattern as one Cypher statement: pure. Types go through the catalogue, everything else travels as a parameter.

The variables are ``h0``, ``h1`` ... for the aliases in order of appearance, ``r0``, ``r1`` ... for the relationships.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.state import Holon, Relationship
from holonstream.sinks.graph.read.prefilter import properties_prefilter
from holonstream.sinks.graph.statements import statement
from holonstream.sinks.store import Pattern, PatternMatch, RelationshipPattern, properties_match


def is_known(catalogue: Catalogue, pattern: Pattern) -> bool:
    """Whether the catalogue knows every type of the pattern. If not, nothing can match."""
    return all(h.type is None or h.type in catalogue.holon_types for h in pattern.holons) and all(
        (bool(catalogue.relationship_types) if r.type is None else r.type in catalogue.relationship_types)
        for r in pattern.relationships
    )


def compile_pattern(catalogue: Catalogue, pattern: Pattern) -> tuple[str, dict[str, Any]]:
    """The statement and its parameters; its rows are for `match_of`, in the order of `PatternMatch.order`."""
    variables = {alias: f"h{number}" for number, alias in enumerate(pattern.aliases())}
    clauses: list[str] = []
    parameters: dict[str, Any] = {}
    bound = set()
    for number, (alias, holon) in enumerate(zip(pattern.holon_aliases(), pattern.holons, strict=True)):
        parameters[f"p{number}"] = properties_prefilter(holon.properties)
        names = {"VARIABLE": variables[alias], "PARAMETER": f"p{number}"}
        clauses.append(statement("pattern_holon", catalogue, holon_type=holon.type, variables=names))
        bound.add(alias)
    for alias in variables.keys() - bound:
        parameters[variables[alias]] = properties_prefilter({})
        names = {"VARIABLE": variables[alias], "PARAMETER": variables[alias]}
        clauses.append(statement("pattern_holon", catalogue, variables=names))
    edges = [f"r{number}" for number in range(len(pattern.relationships))]
    for variable, wish in zip(edges, pattern.relationships, strict=True):
        source, target = pattern.ends(wish)
        parameters[variable] = {"ended": wish.include_ended, **properties_prefilter(wish.properties)}
        names = {
            "VARIABLE": variable,
            "SOURCE": variables[source],
            "TARGET": "" if target is None else variables[target],
        }
        # Named one by one when any will do: another program may connect holons by types of its own.
        types = catalogue.relationship_types if wish.type is None else (wish.type,)
        clauses.append(statement("pattern_relationship", catalogue, relationship_types=types, variables=names))
    results = [statement("pattern_holon_result", catalogue, variables={"VARIABLE": v}) for v in variables.values()]
    results += [statement("pattern_relationship_result", catalogue, variables={"VARIABLE": v}) for v in edges]
    order = ", ".join(f"{variable}._id" for variable in [*variables.values(), *edges])
    clauses += ["RETURN " + ",\n".join(results), f"ORDER BY {order}"]
    return "\n".join(clauses), parameters


def match_of(
    pattern: Pattern, row: list[Any], holons: Mapping[str, Holon], relationships: Mapping[str, Relationship]
) -> PatternMatch | None:
    """The match that a row holds, given the entities in it by id.

    None when only the prefilter let the row pass, or when an entity has changed meanwhile and does not match any more.
    """
    aliases = pattern.aliases()
    bound = {alias: holons.get(values[1]["_id"]) for alias, values in zip(aliases, row, strict=False)}
    walked = tuple(relationships.get(values[3]["_id"]) for values in row[len(aliases) :])
    matched = {alias: holon for alias, holon in bound.items() if holon is not None}
    edges = tuple(edge for edge in walked if edge is not None)
    if len(matched) < len(bound) or len(edges) < len(walked):
        return None
    fits = all(
        wish.type in (None, matched[alias].type) and properties_match(wish.properties, matched[alias].properties)
        for alias, wish in zip(pattern.holon_aliases(), pattern.holons, strict=True)
    ) and all(_walks(pattern, wish, edge, matched) for wish, edge in zip(pattern.relationships, edges, strict=True))
    return PatternMatch(matched, edges) if fits else None


def _walks(pattern: Pattern, wish: RelationshipPattern, edge: Relationship, matched: Mapping[str, Holon]) -> bool:
    source, target = pattern.ends(wish)
    return (
        wish.type in (None, edge.type)
        and (wish.include_ended or edge.effective_end is None)
        and edge.source == matched[source].id
        and (target is None or edge.target == matched[target].id)
        and properties_match(wish.properties, edge.properties)
    )
