"""Envelopes as JSON text, many of them hostile: what a generator of tests of the envelope's grammar makes."""

from __future__ import annotations

import json
from random import Random
from typing import Any
from uuid import UUID

Envelope = dict[str, Any]


class Literal(str):
    """A piece of JSON text that stands in an envelope as it is."""


def nested(levels: int, inner: str = "1") -> Literal:
    """A list in a list, and so on."""
    return Literal("[" * levels + inner + "]" * levels)


DAYS = ("2024-03-01", "2024-02-29", "0001-01-01", "9999-12-31", "2023-12-31")
WRONG_DAYS = ("2023-02-29", "0000-01-01", "2024-13-01", "2024-04-31", "24-01-01", "20240301", "2024-W09-5", "2024-061",
              "10000-01-01", "-2024-01-01", "2024/03/01", "March 1, 2024", "2024-3-1", " 2024-03-01")  # fmt: skip
TIMES = ("", "T08:00", " 08:00:00", "T00:00:00", "T23:59:59", "T23:59:59.999999")
WRONG_TIMES = ("T24:00", "T24:00:00", "T08:60", "T08:00:60", "T23:59:60", "t08:00", "T8:00", "T0800", "T", "  08:00",
               "T25:00", "T08", "T-1:00", "T08:00:00 PM", " allballs", " 08:00 AM")  # fmt: skip
FRACTIONS = ("", "", "", ".0", ".1", ",5", ".123456", ".1234567", ".9999999", ".999999999", ".000000500")
WRONG_FRACTIONS = (".", ",", ".1234567890", ".+1", ".1.2", ".1e3")
ZONES = ("Z", "Z", "Z", "", "+00:00", "-00", "+14:00", "-1200", "+15:59", "-15:59", "+05:30")
WRONG_ZONES = ("z", " Z", "+16:00", "+23:59", "+24:00", "+05:75", "+5", "+053", "+05:3", "+05:30:15",
               " Europe/Berlin", " UTC", " BC", " AD", "Zulu", "[UTC]", "\n", " +02", " DST", "EST5EDT")  # fmt: skip
WORDS = (
    "now",
    "infinity",
    "-infinity",
    "epoch",
    "allballs",
    "today",
    "yesterday",
    "J2460000",
    "",
    "null",
    "2024",
    "1709280000",
)

NUMBERS = ("0", "-0", "-0.0", "1.0", "1e0", "1E+3", "0.1", "1e308", "1.7976931348623157e308", "1.8e308", "1e309",
           "-1e400", "1e3999", "-1e3999", "1e-324", "1e-400", "1e-16383", "0e5000", "9" * 310 + ".5", "9" * 4000,
           "9" * 4000 + ".5", "18446744073709551616", "-9223372036854775809", "0.1e4000",
           "123456789012345678.123456789")  # fmt: skip
WRONG_NUMBERS = ("1e4000", "-1e4000", "1e5000", "1e131071", "1e131072", "1e-16384", "0e-16384", "9" * 4001,
                 "1e9999999999999999999", "-" + "9" * 4300, "0e1073741824", "1e99999", "1." + "0" * 16384)  # fmt: skip
NO_JSON = (
    "NaN",
    "Infinity",
    "01",
    "+1",
    "1.",
    ".5",
    "0x10",
    '"\\u0000"',
    '"\\ud800"',
    '"a\\udc00b"',
    '{"\\u0000": 1}',
    "[1,]",
)

TEXTS = ("a", "x" * 1000, "é" * 500, "\U0001f600" * 250, "{a,b}", "{}", "NULL", "null", ",", "a,,b", '"', "\\",
         "\\u0000", "\n\t\x01\x7f", "\x85\u2028\ufeff\uffff\U0010ffff", "%00", "%zz", "50%", "http://[", "urn:",
         "<&>", "[/x]", "\x1b[31m", "e\u0301", "İ", " ")  # fmt: skip
LONG_TEXTS = ("x" * 1001, "é" * 501, "\U0001f600" * 251, "x" * 5000)

IDS = (None, "{upper}", "{lower}", "{lower}")
WRONG_IDS = ("{{{lower}}}", "{digits}", "{digits:.4}-{digits:.8}", "urn:uuid:{lower}", "{lower} ",
             "{lower:.35}\uff11", "{lower:.35}g", "", "17",
             "{digits:.4}-{digits:.4}-{digits:.4}-{digits:.4}-{digits:.16}")  # fmt: skip


class EnvelopeGenerator:
    """Makes JSON texts of one envelope each, the same ones for one seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def text(self) -> str:
        """The next envelope: a valid one with up to three changes."""
        envelope = self._valid()
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 3))):
            self._change(envelope)
        text = _render(envelope)
        if self._random.random() < 0.01:  # a key that comes twice: the last one counts
            text = '{"actor": 5, "subjects": [], ' + text[1:]
        return text

    def _valid(self) -> Envelope:
        envelope: Envelope = {
            "id": self._identity(),
            "occurredAt": self.instant(wrong=0),
            "actor": "agent-1",
            "sourceSystem": "test",
        }
        if self._random.random() < 0.7:
            envelope |= {"type": "PersonCreated", "subjects": [f"p-{self._random.randrange(10**9)}"]}
            envelope["payload"] = {"name": "Ada"}
        else:
            envelope |= {"type": "AssignmentStarted", "subjects": ["p-1", "q-1"]}
            identity = f"r-{self._random.randrange(10**9)}"
            envelope["payload"] = {"relationshipId": identity, "relationshipType": "OCCUPIES"}
        return envelope

    def _change(self, envelope: Envelope) -> None:
        pick = self._random.choice
        field = pick(("id", "type", "occurredAt", "actor", "sourceSystem", "sourceDocument", "traceparent",
                      "subjects", "subjects", "payload", "payload", "payload", "validityWindow", "validityWindow",
                      "causalLinks", "schemaVersion", "relationshipId", "unknown", "absent", "kind"))  # fmt: skip
        match field:
            case "id":
                form = pick((*IDS, *WRONG_IDS))
                envelope["id"] = form if form is None else self._identity(form)
            case "type":
                envelope["type"] = pick(("", "Nothing", "personcreated", "PersonCreated ", *TEXTS))
            case "occurredAt":
                envelope["occurredAt"] = self.instant()
            case "actor" | "sourceSystem" | "sourceDocument" | "traceparent":
                envelope[field] = self._text_value()
            case "subjects":
                rest = [self._text_value() for _ in range(self._random.randrange(3))]
                envelope["subjects"] = pick(
                    ([], rest, [f"p-{self._random.randrange(10**9)}", "q-1", *rest], [["a"]], "{a,b}")
                )
            case "payload":
                envelope["payload"] = self._payload(envelope.get("payload"))
            case "validityWindow":
                ends = {
                    pick(("start", "end", "x")): pick((self.instant(), self.instant(), self.value())) for _ in range(2)
                }
                envelope["validityWindow"] = pick((ends, ends, ends, ends, {}, None, self.value()))
            case "causalLinks":
                envelope["causalLinks"] = pick(({"causedBy": self.value()}, {}, None, self.value()))
            case "schemaVersion":
                numbers = (
                    "1",
                    "1.0",
                    "1e0",
                    "10e-1",
                    "1.5",
                    "0",
                    "-1",
                    "2",
                    "99",
                    "2147483648",
                    "1e30",
                    "true",
                    '"1"',
                    "null",
                    "[1]",
                )
                envelope["schemaVersion"] = Literal(pick(numbers))
            case "relationshipId":
                if isinstance(envelope.get("payload"), dict):
                    envelope["payload"]["relationshipId"] = pick((self._text_value(), self.value()))
            case "unknown":  # dropped, whatever it is
                envelope[pick(("stream", "position", "", "recordedAt", "ID"))] = pick(
                    ("x", None, 5, {"a": [1]}, nested(300))
                )
            case "absent":
                envelope.pop(pick(tuple(envelope)))
            case "kind":
                envelope[pick(tuple(envelope))] = pick((None, True, 5, 1.5, "x", [], ["x"], {}, {"a": 1}))

    def _identity(self, form: str = "{lower}") -> str:
        identity = UUID(int=self._random.getrandbits(128))
        return form.format(lower=str(identity), upper=str(identity).upper(), digits=identity.hex)

    def _payload(self, before: Any) -> Any:
        if not isinstance(before, dict) or self._random.random() < 0.2:
            return self._random.choice((self.value(), None))
        return before | {"x": self.value()}

    def instant(self, wrong: float = 0.25) -> str:
        """The text of an instant, or with a wrong part."""

        def part(right: tuple[str, ...], others: tuple[str, ...]) -> str:
            return self._random.choice(others if self._random.random() < wrong / 3 else right)

        if self._random.random() < wrong / 5:
            return self._random.choice(WORDS)
        day, time = part(DAYS[:2] if not wrong else DAYS, WRONG_DAYS), part(TIMES, WRONG_TIMES)
        if not time:
            return day + (part(("",), WRONG_ZONES) if wrong else "")
        fraction = part(FRACTIONS, WRONG_FRACTIONS) if time.count(":") == 2 and "." not in time else ""
        return day + time + fraction + part(ZONES, WRONG_ZONES)

    def value(self, levels: int = 3) -> Any:
        """Any JSON value."""
        pick, chance = self._random.choice, self._random.random()
        if chance < 0.08:
            return Literal(pick(NO_JSON))
        if chance < 0.16:
            return Literal(pick(WRONG_NUMBERS))
        if chance < 0.2:
            return nested(pick((150, 197, 198, 199, 200, 201, 202, 400, 20_000)), pick(("", "1", '"x"', "{}")))
        if chance < 0.5:
            return Literal(pick(NUMBERS))
        if chance < 0.65:
            return self._text_value()
        if chance < 0.75 or not levels:
            return pick((None, True, False, "", [], {}))
        if chance < 0.88:
            return [self.value(levels - 1) for _ in range(self._random.randrange(4))]
        return {pick(TEXTS): self.value(levels - 1) for _ in range(self._random.randrange(4))}

    def _text_value(self) -> Any:
        chance = self._random.random()
        if chance < 0.05:
            return Literal(self._random.choice(NO_JSON))
        return self._random.choice(LONG_TEXTS if chance < 0.12 else ("", 5) if chance < 0.17 else TEXTS)


def _render(value: Any) -> str:
    if isinstance(value, Literal):
        return value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {_render(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_render, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
