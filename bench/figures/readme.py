"""Writes a run's figures between the markers of the READMEs."""
from __future__ import annotations

import pathlib

import chart
import report
from processes import ROOT, BenchError


def _replace(path: pathlib.Path, name: str, block: str) -> None:
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = path.read_text(encoding="utf-8")
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise BenchError(f"{path}: no '{begin}' with an '{end}' behind it")
    path.write_text(f"{head}{begin}\n{block}\n\n{end}{tail}", encoding="utf-8")


def write(result: dict) -> list[str]:
    """README.md, bench/README.md and docs/figures.svg; returns what was written."""
    drawn = ROOT / "docs" / "figures.svg"
    drawn.write_text(chart.svg(chart.groups(result)), encoding="utf-8")
    written = []
    if result.get("rules"):
        (ROOT / "docs" / "rules.svg").write_text(chart.svg(chart.rule_groups(result)), encoding="utf-8")
        written.append("docs/rules.svg")
    _replace(ROOT / "README.md", "figures", report.readme_block(result))
    _replace(ROOT / "bench" / "README.md", "results", report.results_block(result))
    _replace(ROOT / "bench" / "README.md", "paper", report.paper_block(result))
    return ["docs/figures.svg", *written, "README.md", "bench/README.md"]
