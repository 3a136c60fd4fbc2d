"""A pattern as one Cypher statement: pure. Types go through the catalogue, everything else travels as a parameter.

Variables are ours: ``h0``, ``h1`` ... for the aliases in order of appearance, ``r0``, ``r1`` ... for the relationships.
"""

from __future__ import annotations

from typing import Any

from schemas.catalogue import Catalogue
from sinks.graph.mapping import holon_of, relationship_of
from sinks.graph.prefilter import properties_prefilter
from sinks.graph.statements import statement
from sinks.store import Pattern, PatternMatch, properties_match


def is_known(catalogue: Catalogue, pattern: Pattern) -> bool:
    """Whether the catalogue knows every type of the pattern; otherwise nothing can match."""
    return all(h.type is None or h.type in catalogue.holon_types for h in pattern.holons) and all(
        r.type is None or r.type in catalogue.relationship_types for r in pattern.relationships
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
        types = () if wish.type is None else (wish.type,)
        clauses.append(statement("pattern_relationship", catalogue, relationship_types=types, variables=names))
    results = [statement("pattern_holon_result", catalogue, variables={"VARIABLE": v}) for v in variables.values()]
    results += [statement("pattern_relationship_result", catalogue, variables={"VARIABLE": v}) for v in edges]
    order = ", ".join(f"{variable}._id" for variable in [*variables.values(), *edges])
    clauses += ["RETURN " + ",\n".join(results), f"ORDER BY {order}"]
    return "\n".join(clauses), parameters


def match_of(pattern: Pattern, row: list[Any]) -> PatternMatch | None:
    """The match that a row holds; None when Neo4j's prefilter let pass what does not match."""
    aliases = pattern.aliases()
    holons = {alias: holon_of(*values) for alias, values in zip(aliases, row, strict=False)}
    relationships = tuple(relationship_of(*values) for values in row[len(aliases) :])
    fits = all(
        properties_match(wish.properties, holons[alias].properties)
        for alias, wish in zip(pattern.holon_aliases(), pattern.holons, strict=True)
    ) and all(
        properties_match(wish.properties, relationship.properties)
        for wish, relationship in zip(pattern.relationships, relationships, strict=True)
    )
    return PatternMatch(holons, relationships) if fits else None
