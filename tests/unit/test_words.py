"""Words that docs/glossary.md has replaced do not come back, in code or in docs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = [
    "schemas",
    "producers",
    "sinks",
    "streams",
    "client",
    "ops",
    "local",
    "demo",
    "benchmarks",
    "tests",
    "docs",
    "terraform",
    "deploy",
]
KINDS = {".py", ".sql", ".cypher", ".lua", ".md", ".json", ".yml", ".tf", ".html"}
HISTORY = {"CHANGELOG.md", "glossary.md", "test_words.py"}
FROZEN = {"append.sql", "log-0.2.0.sql", "queries-0.2.0.sql"}
"""what databases have: `status` and `doctor` compare it"""

GONE = re.compile(
    r"\b(anew|mend(s|ed)?|settle(s|d)?|settling|insists?|runs? of records|whoever|goes on)\b", re.IGNORECASE
)
FENCE = re.compile(r"\bfence(s)?\b", re.IGNORECASE)
KAFKA = ("producers/", "tests/integration/test_relay.py", "tests/support/markdown.py")
"""Where Kafka fences producers, and where Markdown has fences."""
FORMER_KEY = re.compile(r":fence:|was `fence`")
"""the key of the cache's watermarks before 0.2"""


def texts() -> list[Path]:
    files = [*ROOT.glob("*.md"), *(file for folder in FOLDERS for file in (ROOT / folder).rglob("*"))]
    return [f for f in files if f.suffix in KINDS and f.name not in HISTORY | FROZEN and ".terraform" not in f.parts]


def test_replaced_words_are_gone() -> None:
    files = texts()
    assert len(files) > 300
    found = []
    for file in files:
        name = str(file.relative_to(ROOT))
        for number, line in enumerate(file.read_text().splitlines(), 1):
            fence = FENCE.search(FORMER_KEY.sub("", line)) if not name.startswith(KAFKA) else None
            if word := GONE.search(line) or fence:
                found.append(f"{name}:{number}: {word[0]}")
    assert not found, "see docs/glossary.md:\n" + "\n".join(found)


def test_no_two_classes_have_one_name() -> None:
    places: dict[str, list[str]] = {}
    for folder in FOLDERS[:8]:
        for file in (ROOT / folder).rglob("*.py"):
            if file.name != "events.py":  # one class for each event type, in a namespace of their own
                for name in re.findall(r"^class (\w+)", file.read_text(), re.MULTILINE):
                    places.setdefault(name, []).append(file.name)
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
