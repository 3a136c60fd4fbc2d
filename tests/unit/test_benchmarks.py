"""What the benchmarks show: the table in docs/benchmarks.md, and plots."""

from __future__ import annotations

from pathlib import Path

from benchmarks.bench import Meter, processor_seconds
from benchmarks.figures import Figure
from benchmarks.page import BEGIN, END, fill
from benchmarks.plots import draw

ROOT = Path(__file__).parents[2]

FIGURES = [
    Figure(path="graph sink, create", value=9_800, unit="events/s", peer="bare driver", peer_value=10_000),
    Figure(
        path="relay, backlog of 100,000 drained",
        value=120_000,
        unit="events/s",
        peer="Debezium",
        peer_value=50_000,
        promise=">= 2.5x",
        kept=False,
        spread=(110_000, 130_000),
        processor=14.2,
        peer_processor=31.0,
    ),
    Figure(
        path="relay at 100 events/s (relay 5)", value=30, unit="% of a core", peer="Debezium (relay 9)", peer_value=31
    ),
    Figure(path="relay at 1,000 events/s (relay 9)", value=50, unit="% of a core", peer="Debezium", peer_value=34),
    Figure(path="commit -> in the graph, 100 events/s, p50", value=2, unit="ms", kept=True, samples=(1.0, 2.0, 4.0)),
    Figure(path="append, log of 1,000,000", value=30, unit="us", peer="log of 100,000", peer_value=29, processor=20),
    Figure(path="mission, burst: commit -> in the graph, p50", value=30, unit="ms", course=((0.0, 20.0), (1.0, 40.0))),
]


def test_figures_are_written_between_the_comments_promises_first(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    fill(page, FIGURES, {"cores": "2", "command": "python -m benchmarks all"})
    lines = page.read_text().splitlines()
    assert lines[0] == "before"
    assert lines[-1] == "after"
    assert "old" not in lines
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")][1:3] == [
        "| relay, backlog of 100,000 drained",
        "| commit -> in the graph, 100 events/s, p50",
    ]
    assert "| 120,000 (110,000-130,000) events/s | Debezium 50,000 | 2.40x, **not kept** | 14.2 / 31.0 |" in lines[4]
    assert "cores 2; `python -m benchmarks all`." in lines


def test_the_page_has_a_place_for_them() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text()
    assert text.count(BEGIN) == text.count(END) == 1
    assert text.index(BEGIN) < text.index(END)


def test_figures_are_drawn(tmp_path: Path) -> None:
    drawn = draw(FIGURES, tmp_path / "plots")
    assert [file.name for file in drawn] == [
        "relay-drain.svg",
        "relay-cost.svg",
        "freshness.svg",
        "growth.svg",
        "burst.svg",
        "ratios.svg",
    ]
    assert all(file.with_suffix(".png").exists() for file in drawn)
    assert all(file.read_text().startswith("<?xml") for file in drawn)


def test_processor_time_is_counted_by_part() -> None:
    own = int(Path("/proc/self/stat").read_text().split()[0])
    meter = Meter({"busy": [own], "gone": [2**22 + 1]})
    before = processor_seconds(own)
    while processor_seconds(own) < before + 0.05:
        sum(range(1_000))
    used = meter.used()
    assert used["busy"] > 0.04
    assert used["gone"] == 0.0
