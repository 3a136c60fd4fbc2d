"""Records that another program than the relay may put on the topic: what a generator of tests makes."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import Any

from holonstream.schemas.catalogue import Catalogue
from holonstream.testing.records import Record

NUMBERS: tuple[Any, ...] = (
    *(0, -1, -5, 1, 2, 7, 10**30, 2**63 - 1, 2**63, 2**64, 1.0, 1.5, True, None, [], {}),
    *("", "0", "-5", "+1", " 1", "1 ", "1_0", "\uff11\uff12", "\u0663", "\u00b2", "1.0", "1e3", "x", "\n1", "1\0"),
    *("9" * 19, "9" * 21, "9" * 5000, "0" * 30 + "7", str(2**63 - 1), str(2**63), "0000000000000000007"),
)
TEXTS: tuple[Any, ...] = (
    *("", "x", "a/b", "\0", "a\0b", "\ud800", "`x` SET n.evil = 1 //", "x" * 5_000, "é" * 900, "[/x]", "\x1b[31m"),
    *("holon/", "/", "holon", "kind/x", "holon/a/b", "relationship/", "2024", "2024-02-30T00:00:00Z", "now", "%zz"),
    *("%00", "urn:x:" + "9" * 50, "urn:holonstream:event:PersonCreated:-1", "urn:holonstream:event:PersonCreated:99"),
    *("[]", "[1]", '["a"]', "{}", '{"start": "24:00"}', "[" * 3_000, 5, None, [], {}, True, 1.5),
)
VALUES: tuple[Any, ...] = (
    *NUMBERS,
    *TEXTS,
    *(["a", 1, None], {"a": {"b": [1, {"c": None}]}}, {"a`b\0c": 1, "$p": 2, "": 3}, [[[[]]]]),
    *({"_json": ["x"], "_id": 5, "_version": "x"}, 10**300, -(10**300), 1e308, 5e-324),
)
PLACE = b'{"subject": "holon/a", "sequence": "5", "streamversion": "1", "recordedtime": "x", "data": '
RAW = (
    *(None, b"", b"not json", b"[1]", b"null", b"5", b'"x"', b"\xff\xfe", b"{", b"{}", b"x" * 900_000),
    *(b"[" * 200_000, b'{"a":' * 100_000, PLACE + b"[" * 5000 + b"]" * 5000 + b"}"),
    *(PLACE + b"1e9999999999999999999}", PLACE.replace(b'"1"', b"1e9999999999999999999") + b"1}"),
    *(PLACE.replace(b"/a", b"/\\ud800") + b"1}", PLACE.replace(b"/a", b"/\xff") + b"1}"),
)
ATTRIBUTES = (
    *("id", "type", "subject", "time", "source", "dataschema", "data", "sequence", "streamversion", "recordedtime"),
    *("actor", "subjects", "sourcedocument", "validitywindow", "causallinks", "traceparent"),
)


class RecordGenerator:
    """Makes records at consecutive offsets, the same ones for one seed. Half of them are the next of their stream."""

    def __init__(self, seed: int, catalogue: Catalogue) -> None:
        self._random = Random(seed)
        self._types = sorted(catalogue.types.items())
        self._versions: Counter[str] = Counter()
        self._position = 0

    def record(self, offset: int) -> Record:
        """The next record: garbage, or an event's with up to four attributes changed."""
        pick, chance = self._random.choice, self._random.random
        if chance() < 0.08:
            return Record(offset, pick((None, b"", b"k", b"holon/a", b"\xff")), pick(RAW))
        document = self._event()
        for _ in range(pick((0, 0, 1, 1, 2, 3, 4))):
            name = pick((*ATTRIBUTES, "sequence", "streamversion", "data", "data", "data"))
            if chance() < 0.1:
                document.pop(name, None)
            elif name in ("sequence", "streamversion") and chance() < 0.7:
                document[name] = pick(NUMBERS)
            elif name == "data" and isinstance(document.get("data"), dict):
                keys = ("holonType", "properties", "diff", "relationshipId", "relationshipType", "x`y")
                document["data"] = {**document["data"], pick((*document["data"], *keys)): pick(VALUES)}
            else:
                document[name] = pick(VALUES)
        value = json.dumps(document, ensure_ascii=chance() < 0.5).encode(errors="surrogatepass")
        key = str(document.get("subject")).encode(errors="surrogatepass")
        return Record(offset, pick((None, b"", b"other")) if chance() < 0.05 else key, value)

    def _event(self) -> dict[str, Any]:
        pick, chance = self._random.choice, self._random.random
        name, kind = pick(self._types)
        subject = f"{pick('abcdefgh')}{self._random.randrange(40)}"
        stream = f"{kind.stream_kind}/{subject}"
        self._versions[stream] += 1
        self._position += pick((1, 1, 2, 50))
        data = {field: pick(VALUES) if chance() < 0.5 else "text" for field in kind.required if chance() < 0.9}
        if kind.stream_kind == "relationship":
            data |= {"relationshipId": subject, "relationshipType": pick(("OCCUPIES", "OCCUPIES", "x`y"))}
        return {
            "specversion": "1.0",
            "id": f"{self._random.getrandbits(64):x}",
            "type": name,
            "source": "test",
            "subject": stream,
            "time": "2024-01-01T00:00:00.000Z",
            "dataschema": f"urn:holonstream:event:{name}:{kind.version}",
            "sequence": f"{self._position if chance() < 0.95 else self._random.randrange(10**6):019}",
            "streamversion": str(self._versions[stream] if chance() < 0.9 else pick((1, 2, 3, 9))),
            "recordedtime": "2024-01-01T00:00:00.000Z",
            "actor": "a",
            "subjects": json.dumps([subject, "y", "z"]),
            "data": data,
        }
