"""What a PromQL expression names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import promql_parser


@dataclass
class ExpressionNames:
    """The names in an expression."""

    metrics: set[str] = field(default_factory=set)
    selected: list[tuple[str, str, str]] = field(default_factory=list)
    """metric, label and value of each matcher"""
    grouped: set[str] = field(default_factory=set)
    """labels that are aggregated by"""


def names_in(expression: str) -> ExpressionNames:
    """The names in an expression. Raises ValueError when it does not parse."""
    found = ExpressionNames()

    def visit(part: Any) -> None:
        if isinstance(part, promql_parser.VectorSelector):
            assert part.name is not None, f"a selector without a metric in {expression}"
            found.metrics.add(part.name)
            found.selected += [(part.name, matcher.name, matcher.value) for matcher in part.matchers.matchers]
        elif isinstance(part, promql_parser.AggregateExpr) and part.modifier is not None:
            found.grouped |= set(part.modifier.labels)

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found
