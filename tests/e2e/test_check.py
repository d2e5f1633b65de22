"""Mistakes in the configuration: each is found, at its line and column, with what a person needs to mend it; all of a file in one pass;
exit code 78, and nothing is started.

In the texts here, § marks where the mistake is to be reported; it is taken out before the file is written.
"""
import pathlib
import re

import pytest

from netns import run
from rig import ROOT, SHUNTCTL, SHUNTD

GOOD = """\
[[port]]
name = "lan"
device = "net_af_packet0,iface=eth1"
addresses = ["10.53.0.53/24", "fd53::53/64"]
gateways = ["10.53.0.1"]

[[inbound]]
name = "from-onprem"
addresses = ["10.53.0.53"]
allow = ["10.0.0.0/8"]

[[outbound]]
name = "to-onprem"
addresses = ["10.53.0.53"]

[[upstream]]
name = "corp-dns"
outbound = "to-onprem"
targets = ["192.168.1.53"]

[[rules]]
name = "corp"
list = [
  "onprem.corp forward corp-dns",
]

[[network]]
name = "prod"
clients = ["10.1.0.0/16"]
rules = ["corp"]
"""

# name: (what stands in the good file, what stands there instead, words that the message must have)
MISTAKES = {
    "unknown key": ('gateways =', '§gatewayz =', ["gatewayz", "gateways"]),
    "unknown table": ('[[network]]', '[[§outbond]]\nname = "x"\n[[network]]', ["outbond", "outbound"]),
    "wrong type": ('name = "lan"', 'name = §7', ["name"]),
    "list where a text is due": ('outbound = "to-onprem"', 'outbound = §["to-onprem"]', ["outbound"]),
    "missing key": ('[[port]]\nname = "lan"\ndevice = "net_af_packet0,iface=eth1"', '§[[port]]\nname = "lan"', ["device"]),
    "address on no port": ('name = "from-onprem"\naddresses = ["10.53.0.53"]',
                           'name = "from-onprem"\naddresses = [§"10.53.0.54"]', ["10.53.0.54", "10.53.0.53"]),
    "rule to an unknown upstream": ('"onprem.corp forward corp-dns"', '"onprem.corp forward §corp-dnz"', ["corp-dnz", "corp-dns"]),
    "unknown action": ('"onprem.corp forward corp-dns"', '"onprem.corp §froward corp-dns"', ["froward", "forward"]),
    "bad name in a rule": ('"onprem.corp forward corp-dns"', '"§on..corp forward corp-dns"', ["on..corp"]),
    "rule twice": ('"onprem.corp forward corp-dns",', '"onprem.corp forward corp-dns",\n  "§OnPrem.corp. block nxdomain",', ["onprem.corp"]),
    "one prefix in two networks": ('rules = ["corp"]', 'rules = ["corp"]\n[[network]]\nname = "two"\nclients = [§"10.1.0.0/16"]\nrules = ["corp"]',
                                   ["10.1.0.0/16", "prod"]),
    "bad CIDR": ('allow = ["10.0.0.0/8"]', 'allow = [§"10.0.0.0/33"]', ["10.0.0.0/33"]),
    "host bits in a prefix": ('clients = ["10.1.0.0/16"]', 'clients = [§"10.1.0.7/16"]', ["10.1.0.7/16", "10.1.0.0/16"]),
    "no address at all": ('targets = ["192.168.1.53"]', 'targets = [§"192.168.1.530"]', ["192.168.1.530"]),
    "duplicate name": ('[[outbound]]', '[[outbound]]\nname = "to-onprem"\naddresses = ["10.53.0.53"]\n[[outbound]]', ["to-onprem"]),
    "unknown rule set": ('rules = ["corp"]', 'rules = [§"crop"]', ["crop", "corp"]),
    "unknown outbound": ('outbound = "to-onprem"', 'outbound = §"to-on-prem"', ["to-on-prem", "to-onprem"]),
    "unknown default upstream": ('rules = ["corp"]', 'rules = ["corp"]\ndefault = §"corp_dns"', ["corp_dns", "corp-dns"]),
    "target that is shunt itself": ('targets = ["192.168.1.53"]', 'targets = [§"10.53.0.53"]', ["10.53.0.53"]),
    "port out of range": ('targets = ["192.168.1.53"]', 'targets = [§"192.168.1.53:70000"]', ["70000"]),
    "gateway in no network of the port": ('gateways = ["10.53.0.1"]', 'gateways = [§"10.54.0.1"]', ["10.54.0.1"]),
    "missing rule file": ('list = [\n  "onprem.corp forward corp-dns",\n]', 'file = §"none.rules"', ["none.rules"]),
    "bad size": ('[[port]]', '[dataplane]\nmemory = §"512MB!"\n[[port]]', ["512MB!"]),
    "core twice": ('[[port]]', '[dataplane]\nworkers = [2, §2]\n[[port]]', ["core 2"]),
    "pending no power of two": ('[[port]]', '[dataplane]\npending = §1000\n[[port]]', ["1000", "1024"]),
    "syntax": ('clients = ["10.1.0.0/16"]', 'clients = ["10.1.0.0/16"', []),
    "key twice": ('device = "net_af_packet0,iface=eth1"', 'device = "net_af_packet0,iface=eth1"\ndevice = §"net_tap0"', ["device"]),
    "empty endpoint": ('addresses = ["10.53.0.53"]\nallow', 'addresses = §[]\nallow', ["addresses"]),
    "bad policy": ('targets = ["192.168.1.53"]', 'targets = ["192.168.1.53"]\npolicy = §"radnom"', ["radnom", "random"]),
    "ports the wrong way round": ('name = "to-onprem"\n', 'name = "to-onprem"\nsource_ports = §[5000, 4000]\n', ["5000", "4000"]),
}


@pytest.fixture(params=["shuntd", "shuntctl"])
def check(request):
    def run_check(path):
        if request.param == "shuntd":
            return run(SHUNTD, "--config", path, "--check", check=False)
        return run(SHUNTCTL, "check", path, check=False)
    return run_check


def broken(names):
    """The good file with these mistakes in it, and where each marked one stands: {name: (line, column)}."""
    text = GOOD
    for name in names:
        old, new, _ = MISTAKES[name]
        assert old in text, f"{name} doesn't fit into the file any more"
        text = text.replace(old, new.replace("§", f"§{name}§"), 1)
    places = {}
    while True:
        found = re.search("§([^§]+)§", text)
        if not found:
            return text, places
        before = text[:found.start()]
        places[found[1]] = (before.count("\n") + 1, len(before) - before.rfind("\n"))
        text = before + text[found.end():]


def errors_of(output):
    """[(line, column, the whole of its text)]"""
    starts = list(re.finditer(r"^\S*shunt\.toml:(\d+):(\d+): error: ", output, re.M))
    ends = [m.start() for m in starts[1:]] + [len(output)]
    return [(int(m[1]), int(m[2]), output[m.start():end]) for m, end in zip(starts, ends)]


def test_a_good_file_passes(check, tmp_path):
    path = tmp_path / "shunt.toml"
    path.write_text(GOOD, encoding="utf-8")
    done = check(path)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_named_where_it_stands(check, tmp_path, name):
    text, places = broken([name])
    path = tmp_path / "shunt.toml"
    path.write_text(text, encoding="utf-8")
    done = check(path)
    assert done.returncode == 78, done.stderr
    errors = errors_of(done.stderr)
    assert len(errors) == 1, f"one mistake, {len(errors)} errors:\n{done.stderr}"
    line, column, message = errors[0]
    for word in MISTAKES[name][2]:
        assert word.lower() in message.lower(), message
    if name in places:
        assert (line, column) == places[name], message
    # The line is shown, with a caret below the column.
    source = text.splitlines()[line - 1]
    assert source.strip() in message
    assert re.search(r"^[ |0-9]*\^", message, re.M), message


def test_twenty_mistakes_of_one_file_in_one_pass(check, tmp_path):
    names = ["unknown key", "wrong type", "address on no port", "rule to an unknown upstream", "one prefix in two networks", "bad CIDR",
             "unknown outbound", "bad policy", "pending no power of two", "ports the wrong way round"]
    text, places = broken(names)
    text += "".join(f'[[upstream]]\nname = "u{i}"\ntargets = ["192.168.{i}.300"]\n' for i in range(10))
    path = tmp_path / "shunt.toml"
    path.write_text(text, encoding="utf-8")
    done = check(path)
    assert done.returncode == 78
    errors = errors_of(done.stderr)
    found = {(line, column) for line, column, _ in errors}
    for name, place in places.items():
        assert place in found, f"{name} at {place} is missing in:\n{done.stderr}"
    for i in range(10):
        assert f"192.168.{i}.300" in done.stderr
    assert len(errors) == 20, done.stderr


def test_mistakes_in_rule_files_name_the_rule_file(check, tmp_path):
    lines = ["# a comment", "good.example block nxdomain", "bad..example block nxdomain", "", "x.example forward nowhere"]
    (tmp_path / "corp.rules").write_text("\n".join(lines) + "\n", encoding="utf-8")
    path = tmp_path / "shunt.toml"
    path.write_text(GOOD.replace('name = "corp"', 'name = "corp"\nfile = "corp.rules"'), encoding="utf-8")
    done = check(path)
    assert done.returncode == 78
    for line, word in ((3, "bad..example"), (5, "nowhere")):
        assert re.search(rf"corp\.rules:{line}:\d+: error: .*{re.escape(word)}", done.stderr), done.stderr


# name: (rule lines, the one that is warned about, words that the warning must have)
WARNINGS = {
    "rule below one that does the same": (["corp forward corp-dns", "a.corp forward corp-dns"], 1, ["a.corp", "changes nothing", '"corp forward']),
    "rule that = and *. leave nothing": (["=a system", "*.a block drop", "a block refused"], 2, ["never match", "*.a"]),
    "root without carve-outs": (["a.corp block drop", ". forward corp-dns"], 1, ["every name", "prod", "system"]),
}


@pytest.mark.parametrize("name", WARNINGS)
@pytest.mark.parametrize("where", ["list", "file"])
def test_rules_that_are_probably_not_meant_are_warned_about(check, tmp_path, name, where):
    lines, wrong, words = WARNINGS[name]
    path = tmp_path / "shunt.toml"
    if where == "list":
        text = GOOD.replace('  "onprem.corp forward corp-dns",', ",\n".join(f'  "{line}"' for line in lines))
        first, column = text[:text.index(lines[0])].count("\n") + 1, 3
    else:
        text = GOOD.replace('list = [\n  "onprem.corp forward corp-dns",\n]', 'file = "corp.rules"')
        (tmp_path / "corp.rules").write_text("\n".join(lines) + "\n", encoding="utf-8")
        first, column = 1, 1
    path.write_text(text, encoding="utf-8")
    done = check(path)
    assert done.returncode == 0
    file = "shunt.toml" if where == "list" else "corp.rules"
    assert re.search(rf"{re.escape(file)}:{first + wrong}:{column}: warning: ", done.stderr), done.stderr
    assert done.stderr.count("warning: ") == 1
    for word in (*words, lines[wrong]):
        assert word in done.stderr
    assert re.search(r"^ +\| +\^\n +=", done.stderr, re.M), done.stderr


def test_networks_within_each_other_are_warned_about_once(check, tmp_path):
    path = tmp_path / "shunt.toml"
    path.write_text(GOOD + '\n[[network]]\nname = "lab"\nclients = ["10.1.64.0/18", "10.1.128.0/18"]\n', encoding="utf-8")
    done = check(path)
    assert done.returncode == 0
    assert done.stderr.count("warning: ") == 1, done.stderr
    for word in ("lab", "prod", "10.1.64.0/18", "10.1.0.0/16"):
        assert word in done.stderr


def test_a_file_that_cannot_be_read(check, tmp_path):
    for path in (tmp_path / "none.toml", tmp_path):
        done = check(path)
        assert done.returncode == 78
        assert str(path) in done.stderr


def test_a_file_of_anything(check, tmp_path):
    path = tmp_path / "shunt.toml"
    for content in (b"", b"\0" * 100, b"\xff\xfe" * 50, b"[" * 100000, b"a = " + b"{b=" * 20000, b"x = 1\n" * 1000):
        path.write_bytes(content)
        assert check(path).returncode == 78


def test_the_configuration_in_the_readme_passes(check, tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    path = tmp_path / "shunt.toml"
    path.write_text(re.search("```toml\n(.*?)```", text, re.S)[1], encoding="utf-8")
    done = check(path)
    assert done.returncode == 0, done.stderr


def test_the_example_configurations_pass(check):
    examples = sorted(pathlib.Path(ROOT / "conf").glob("**/*.toml"))
    assert examples
    for example in examples:
        done = check(example)
        assert done.returncode == 0, done.stderr
