"""Figures as tables: on the terminal, and as Markdown for README.md and bench/README.md."""
from __future__ import annotations

import stalls
from bar import Verdict, verdicts
from paper import MEMORY_OCTETS, efficiency, estimates

Table = tuple[list[str], list[list[str]]]


def _millions(rate: float) -> str:
    return f"{rate / 1e6:.2f} M/s"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _loss(share: float) -> str:
    return "0" if share == 0 else f"{100 * share:.2g} %"


def memif_table(result: dict) -> Table:
    rows = []
    for case in result.get("memif", {}).values():
        m = case["median"]
        rows.append([case["title"], _millions(m["queries_per_second"]), _millions(m["limit"]), f"{m['ratio']:.3f}",
                     f"{m['p50_us']:.1f} us", f"{m['p99_us']:.1f} us", _loss(m["lost_share"]), str(m["wrong"] + m["errors"]),
                     f"{m['worker_busy_percent']:.0f} %", f"{m['cycles_per_query']:.0f}", _percent(m["generator_share"]),
                     _percent(m["control_share"]), f"{m['quiet_turns']} of {m['turns']}"])
    return (["one worker over memif", "shunt", "limit", "ratio", "p50", "p99", "lost", "wrong", "worker busy", "cycles a query",
             "generator", "control plane", "undisturbed"], rows)


def peers_table(result: dict) -> Table:
    rows = []
    for peer in result.get("peers", {}).values():
        m = peer["median"]
        # A generator that sends less than it was told, and loses nothing, is the slower end.
        limited = " (the generator's limit)" if m["lost_share"] < 0.001 else ""
        rows.append([peer["title"], f"{m['queries_per_second']:,.0f}/s{limited}", f"{m['offered_per_second']:,.0f}/s",
                     f"{m['dnsperf_queries_per_second']:,.0f}/s", f"{m['dnsperf_latency_us']:.0f} us",
                     f"{m['quiet_turns']} of {m['turns']}"])
    return ["one server core, one veth pair", "answers to kxdpgun", "of queries", "answers to dnsperf", "dnsperf's mean latency",
            "undisturbed"], rows


def workers_table(result: dict) -> Table:
    rows = [[load, _millions(m["one"]), _millions(m["two"]), f"{m['ratio']:.2f}"] for load, m in result["workers"]["loads"].items()]
    if yardstick := result["workers"].get("yardstick"):
        rows.append(["multiplications alone", _millions(yardstick["one"]), _millions(yardstick["two"]), f"{yardstick['ratio']:.2f}"])
    return ["workers in one process, on synthetic ports", "one", "two", "ratio"], rows


def rules_table(result: dict) -> Table:
    rows = [[f"{r['rules']:,}", f"{r['file_octets'] / 2**20:,.1f} MiB", f"{r['reload_ms']:,.0f} ms", f"{r['slowest_ms']:,.0f} ms",
             f"{r['unchanged_ms']:,.0f} ms", f"{r['octets_per_rule']:.1f}", f"{r['resident_octets'] / 2**20:,.0f} MiB",
             f"{r['lookup_ns']:.0f} ns" if r.get("lookup_ns") else ""] for r in result["rules"]["rows"]]
    return ["rules", "file", "reload, file changed", "slowest", "reload, file unchanged", "octets a rule, name included",
            "resident", "lookup in a burst"], rows


def rules_sentence(result: dict) -> str:
    f = result["rules"]["flat"]
    return (f"{f['reloads']:,} reloads of {f['rules']:,} rules, the file changed each time: {f['median_ms']:,.0f} ms each (median), {f['slowest_ms']:,.0f} ms "
            f"the slowest; resident in the last half: {f['least_octets'] / 2**20:,.0f} to {f['most_octets'] / 2**20:,.0f} MiB")


def reload_table(result: dict) -> Table:
    rows = []
    for case in result["reload"].values():
        phases = case["phases"]
        not_over = case["longest_pause_not_over_us"]
        rows.append([case["title"], str(case["reloads"]), f"{case['median_ms']:,.0f} ms",
                     *(f"{_millions(phases[p]['sent_per_second'])}, {phases[p]['lost']} lost" for p in ("before", "during", "after")),
                     str(sum(case["dropped_by_shunt"].values())), str(phases["after"]["wrong"]), str(case["stale_answers"]),
                     f"{case['median_pause_us']:.1f} us", f"{case['p90_pause_us']:.1f} us", f"{case['longest_pause_us']:,.1f} us",
                     str(case["pauses_over"]), f"{not_over:.1f} us" if not_over is not None else "none", str(case["preempted"])])
    return ["under full load", "reloads", "each", "sent before", "sent during", "sent after", "dropped by shunt", "wrong", "stale", "median pause", "p90",
            "longest", "over 50 us", "longest of the others", "worker preempted"], rows


def bar_table(lines: list[Verdict]) -> Table:
    return ["target", "at least", "measured", ""], [[v.what, v.target, v.measured, v.verdict] for v in lines]


def micro_table(result: dict) -> Table:
    rows = [[row["name"], f"{row['nanoseconds']:,.1f} ns", ", ".join(f"{k} {_short(k, v)}" for k, v in row["counters"].items())]
            for rows in ((result.get("micro") or {}).get("suite") or {}).values() for row in rows]
    return ["benchmark", "a turn", "counters"], rows


def _short(key: str, value: float) -> str:
    # Google Benchmark knows seconds only.
    if key in ("each", "walk"):
        return f"{value * 1e9:.1f} ns"
    return f"{value / 1e6:,.1f} M" if value >= 1e6 else f"{value:,.4g}"


def paper_table(result: dict) -> Table:
    titles = {"cached-1m": "cached, 1,000,000 names", "mixed": "mixed, 90 % cached", "forwarded": "forwarded, no cache"}
    rows = []
    for e in estimates(result):
        limits = e.by_limit
        rows.append([titles[e.case], str(e.cores), f"{e.cycles:.0f}", f"{e.octets_memory:,.0f}", *(f"{limits[k] / 1e6:.0f} M/s" for k in
                    ("cores", "wire", "PCIe", "memory")), f"{e.queries_per_second / 1e6:.0f} M/s", e.bottleneck, e.next_bottleneck,
                     f"{e.queries_per_second * e.octets_memory / 1e9:.0f} GB/s"])
    return ["load", "cores", "cycles a query", "octets a query", "by cores", "by the wire", "by PCIe", "by memory", "so", "bottleneck",
            "the next", "memory traffic"], rows


# --- text ---------------------------------------------------------------------------------------------------------

def plain(table: Table) -> str:
    head, rows = table
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths)))
                     .rstrip() for row in [head, *rows])


def markdown(table: Table) -> str:
    head, rows = table
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine_line(result: dict) -> str:
    m = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items() if version)
    load = " ".join(f"{x:.2f}" for x in m["load_average"])
    return (f"{m['cpu']}, {m['cores']} cores at {m['tsc_hz'] / 1e9:.2f} GHz (TSC), L3 {m['l3']}, {m['memory_gib']} GiB; Linux {m['kernel']}; "
            f"load average before: {load}; {versions}; shunt {m['commit']}; {m['time']}")


def terminal(result: dict) -> str:
    parts = [machine_line(result)]
    if result.get("memif"):
        parts.append(plain(memif_table(result)))
    if result.get("stalls"):
        parts.append(stalls.sentence(result["stalls"]))
    if result.get("peers"):
        parts.append(plain(peers_table(result)))
    if result.get("workers"):
        parts.append(plain(workers_table(result)))
    if result.get("micro"):
        parts.append(plain(micro_table(result)))
    if result.get("rules"):
        parts += [plain(rules_table(result)), rules_sentence(result)]
    if result.get("reload"):
        parts.append(plain(reload_table(result)))
    if estimates(result):
        parts.append("On paper, 100 GbE:\n" + plain(paper_table(result)))
    parts.append(plain(bar_table(verdicts(result))))
    parts += [f"NOTE: {note}" for note in result.get("notes", [])]
    return "\n\n".join(parts)


# --- for the READMEs ----------------------------------------------------------------------------------------------

def readme_block(result: dict) -> str:
    options = result["options"]
    return f"""![Queries answered a second: the link's limit, shunt, and its peers](docs/figures.svg)

Measured by `scripts/bench` in one run, medians of {options["rounds"]} rounds; the limit, shunt and the peers took turns. All that a user has on was on: checksums
verified, allow lists, networks, 1,000,000 rules, ageing TTLs, counters. A busy machine is slower in all of it: the ratio to the
link's limit counts more than the rate. {_sentence(result)}

{markdown(bar_table(verdicts(result)))}

{_stalls(result)}[bench/README.md](bench/README.md) has all figures, what each means, and how to repeat them."""


def _stalls(result: dict) -> str:
    return stalls.sentence(result["stalls"]) + ".\n\n" if result.get("stalls") else ""


def _sentence(result: dict) -> str:
    m = result["machine"]
    return f"The machine: {m['cores']} cores of an {m['cpu']}, Linux {m['kernel']}, load average {m['load_average'][0]:.2f} before the run."


def results_block(result: dict) -> str:
    parts = [machine_line(result) + "."]
    parts += [markdown(table) for table in (memif_table(result), peers_table(result)) if table[1]]
    if result.get("stalls"):
        parts.append(stalls.sentence(result["stalls"]) + ".")
    if result.get("workers"):
        parts.append(markdown(workers_table(result)))
    if result.get("micro"):
        parts.append(markdown(micro_table(result)))
    if result.get("rules"):
        parts += ["![Reload, memory and lookup from a thousand to ten million rules](../docs/rules.svg)", markdown(rules_table(result)),
                  rules_sentence(result) + "."]
    if result.get("reload"):
        parts.append(markdown(reload_table(result)))
    parts.append(markdown(bar_table(verdicts(result))))
    parts += [f"Note: {note}." for note in result.get("notes", [])]
    return "\n\n".join(parts)


def paper_block(result: dict) -> str:
    table = paper_table(result)
    if not table[1]:
        return "Not reckoned: it needs the memif cases."
    ratio = (result.get("workers") or {}).get("ratio")
    scaling = (f"two workers did {ratio:.2f} times the work of one, so each of 15 is taken to do {efficiency(result, 15):.2f} and each of 31 "
               f"{efficiency(result, 31):.2f} of what one alone does") if ratio else "two workers against one were not measured: no loss is reckoned"
    return (f"{markdown(table)}\n\nFrom {result['machine']['time']}, at {result['machine']['tsc_hz'] / 1e9:.2f} GHz; {scaling}. Memory: "
            f"{MEMORY_OCTETS / 1e9:.0f} GB/s usable.")
