"""shuntd for a measurement: its configuration, its start and its end, what it says of itself."""
from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator, Sequence

from processes import Program, output, program

START_SECONDS = 60.0
RULES = 1_000_000
RULE_FILE = "filler.rules"
RULE_NAME = "r{}.filler.test"


@dataclasses.dataclass(frozen=True)
class Build:
    """Where the compiled programs are."""
    release: pathlib.Path
    bench: pathlib.Path

    @property
    def shuntd(self) -> pathlib.Path:
        return self.release / "control" / "shuntd"

    @property
    def shuntctl(self) -> pathlib.Path:
        return self.release / "control" / "ctl" / "shuntctl"

    @property
    def shuntperf(self) -> pathlib.Path:
        return self.release / "bench" / "perf" / "shuntperf"

    @property
    def benchmarks(self) -> pathlib.Path:
        return self.bench / "bench"


def write_rules(folder: pathlib.Path, count: int) -> None:
    """The rule set that all configurations in `folder` share: so many names that are blocked."""
    with open(folder / RULE_FILE, "w", encoding="ascii") as file:
        for number in range(count):
            file.write(f"{RULE_NAME.format(number)} block nxdomain\n")


def configuration(folder: pathlib.Path, worker_core: int, control_core: int, ports: str, inbound: str, clients: str, outbound: str,
                  target: str, cache: str, mirror: str) -> str:
    """A whole shunt.toml: `example.com` and the default go to `target`, the rules of write_rules are loaded."""
    return f"""
[dataplane]
workers = [{worker_core}]
control_core = {control_core}
memory = "768MiB"
cache = "{cache}"

[control]
socket = "{folder}/control.sock"

[mirror]
namespace = "{mirror}"

{ports}

[[inbound]]
name = "in"
addresses = ["{inbound}"]
allow = ["{clients}"]

[[outbound]]
name = "out"
addresses = ["{outbound}"]

[[upstream]]
name = "servers"
outbound = "out"
targets = ["{target}"]

[[rules]]
name = "main"
list = ["example.com forward servers"]
file = "{RULE_FILE}"

[[network]]
name = "clients"
clients = ["{clients}"]
rules = ["main"]
default = "servers"
"""


class Gateway:
    """A running shuntd."""

    def __init__(self, build: Build, folder: pathlib.Path, process: Program):
        self.build, self.folder, self.process = build, folder, process

    def _ctl(self, *words: str) -> list[object]:
        return [self.build.shuntctl, "--socket", self.folder / "control.sock", *words]

    def wait_ready(self) -> None:
        self.process.expect(lambda: (self.folder / "control.sock").exists() and self.json("status"), START_SECONDS, "it answered")

    def json(self, *words: str):
        """What shuntctl prints; None where the daemon gives no answer."""
        text = output(self._ctl("--json", *words), 10, allowed=(0, 1))
        try:
            return json.loads(text)
        except ValueError:
            return None


@contextlib.contextmanager
def gateway(build: Build, folder: pathlib.Path, config: str, prefix: Sequence[object] = ()) -> Iterator[Gateway]:
    """shuntd with a configuration, until the end of a `with`. `prefix`: a command that runs it, `ip netns exec NAME` say."""
    (folder / "shunt.toml").write_text(config, encoding="ascii")
    (folder / "control.sock").unlink(missing_ok=True)
    with program([*prefix, build.shuntd, "--config", folder / "shunt.toml"], folder / "shuntd.log") as process:
        yield Gateway(build, folder, process)
