"""The bar chart of the README, as SVG. Its colours are seen on light and on dark ground alike."""
from __future__ import annotations

import dataclasses
from xml.sax.saxutils import escape

WIDTH, LABEL, VALUE = 900, 300, 170
ROW, BAR, GAP = 26, 17, 30
TEXT, LIMIT, SHUNT, PEER = "#7a7f87", "#9aa1ab", "#2f81f7", "#d29922"
FONT = "font-family=\"-apple-system,'Segoe UI',Helvetica,Arial,sans-serif\""


@dataclasses.dataclass(frozen=True)
class Bar:
    label: str
    value: float
    text: str
    colour: str


@dataclasses.dataclass(frozen=True)
class Group:
    title: str
    bars: list[Bar]


def _text(x: float, y: float, words: str, extra: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" fill="{TEXT}" {extra}>{escape(words)}</text>'


def svg(groups: list[Group]) -> str:
    """Each group has a scale of its own."""
    parts, y = [], 8
    for group in groups:
        most = max(bar.value for bar in group.bars)
        y += 20
        parts.append(_text(0, y, group.title, 'font-weight="600" font-size="15"'))
        y += 12
        for bar in group.bars:
            length = max(1.0, (WIDTH - LABEL - VALUE) * bar.value / most)
            middle = y + ROW / 2 + 4
            parts.append(_text(LABEL - 10, middle, bar.label, 'text-anchor="end"'))
            parts.append(f'<rect x="{LABEL}" y="{y + (ROW - BAR) / 2:.1f}" width="{length:.1f}" height="{BAR}" rx="2" fill="{bar.colour}"/>')
            parts.append(_text(LABEL + length + 8, middle, bar.text))
            y += ROW
        y += GAP - 14
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img" '
            f'font-size="13" {FONT}>\n<title>{escape("; ".join(g.title for g in groups))}</title>\n' + "\n".join(parts) + "\n</svg>\n")


def _millions(rate: float) -> str:
    return f"{rate / 1e6:.1f} M/s"


def rule_groups(result: dict) -> list[Group]:
    """What rules cost, by their number."""
    rows = result["rules"]["rows"]

    def group(title: str, key: str, text: str) -> Group:
        return Group(title, [Bar(f"{row['rules']:,} rules", row[key], text.format(row[key]), SHUNT) for row in rows if row.get(key)])
    return [group("a reload with a changed file, from the command to its answer", "command_ms", "{:,.0f} ms"),
            group("memory of a rule, its name included", "octets_per_rule", "{:.1f} octets"),
            group("a lookup in a burst of 32, from the wire to its rule", "lookup_ns", "{:.0f} ns")]


def groups(result: dict) -> list[Group]:
    """What was measured, as bars."""
    found = []
    memif = {key: case for key, case in (result.get("memif") or {}).items() if not key.startswith("latency")}
    if memif:
        limit = max(case["median"]["limit"] for case in memif.values())
        bars = [Bar("the link's limit (testpmd 5tswap)", limit, _millions(limit), LIMIT)]
        bars += [Bar(case["title"], case["median"]["queries_per_second"],
                     f"{_millions(case['median']['queries_per_second'])} ({case['median']['ratio']:.2f} of it)", SHUNT)
                 for case in memif.values()]
        found.append(Group("net_memif, one worker core, one generator core, 1,000,000 rules: queries answered a second", bars))
    if result.get("peers"):
        bars = [Bar(peer["title"], peer["median"]["queries_per_second"], f"{peer['median']['queries_per_second']:,.0f}/s",
                    SHUNT if key.startswith("shunt") else PEER) for key, peer in result["peers"].items()]
        found.append(Group("one veth pair, one server core, kxdpgun on the other: queries answered a second", bars))
    return found
