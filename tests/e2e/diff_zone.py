"""A signed zone of some thousand names as companies have them, of every kind, and questions for it: the same ones in every run."""
import random
import subprocess

APEX = "diff.example."
SITES = ["fra", "ams", "lon", "nyc", "sin", "tyo", "gru", "syd"]
TEAMS = ["prod", "staging", "dev", "corp", "lab", "dmz"]
HOSTS = ["www", "mail", "db", "ns", "api", "vpn", "ldap", "kdc", "proxy", "git", "ci", "build", "print", "fileserver", "grafana", "kafka",
         "redis", "web-frontend", "node", "backup", "jump", "sip", "ntp", "log"]
LONG = "x" * 200


class Zone:
    """`lines` of a zone file, and what is to be asked: (name, type) pairs, by kind."""

    def __init__(self, seed=1):
        self.random = random.Random(seed)
        self.lines = [f"$ORIGIN {APEX}", "$TTL 3600",
                      "@ SOA ns hostmaster 2026 3600 600 86400 300", "@ NS ns", "@ NS ns2", "@ MX 10 mail", "@ MX 20 mail2.elsewhere.example.",
                      '@ TXT "v=spf1 -all"', '@ CAA 0 issue "ca.example"', "@ A 192.0.2.1", "ns A 192.0.2.53", "ns AAAA 2001:db8::53",
                      "ns2 A 192.0.2.54", "mail A 192.0.2.25"]
        self.questions = {}
        for i, name in enumerate(self._hosts()):
            self._add_host(i, name)
        for make in (self._services, self._chains, self._wildcards, self._delegations, self._large, self._oddities):
            make()

    def _hosts(self):
        names = [f"{host}-{n:02}.{site}.{team}" for team in TEAMS for site in SITES for host in HOSTS for n in range(1, 4)]
        return self.random.sample(names, 1500)

    def _add(self, line):
        self.lines.append(line)

    def ask(self, kind, name, *rdtypes):
        self.questions.setdefault(kind, []).extend((f"{name}.{APEX}" if name else APEX, t) for t in rdtypes)

    def _add_host(self, i, name):
        ttl = self.random.choice([60, 300, 3600, 86400])
        self._add(f"{name} {ttl} A 10.{i >> 8}.{i & 255}.1")
        if i % 2:
            self._add(f"{name} {ttl} AAAA 2001:db8::{i:x}")
        self.ask("address", name, "A")
        if i % 3 == 0:
            self.ask("address or none", name, "AAAA")
        if i % 10 == 1:
            for k in range(4):
                self._add(f"{name} {ttl} A 10.{i >> 8}.{i & 255}.{k + 2}")
        if i % 7 == 0:
            self._add(f'{name} TXT "owner={name}" "room {i}"')
            self.ask("text", name, "TXT")
        if i % 11 == 0:
            self.ask("no such type", name, "SRV", "TYPE65534")
        if i % 4 == 0:
            self.ask("no such name", f"no-{name}", "A")
        if i % 9 == 0:
            self.ask("below a host", f"sub.{name}", "AAAA")

    def _services(self):
        for i in range(100):
            base = f"svc{i}"
            self._add(f"{base} MX {i} mail\n{base} MX 10 mx.{base}\nmx.{base} A 10.200.0.{i}")
            self._add(f"_sip._tcp.{base} SRV 10 {i} 5060 sip.{base}\n_sip._tcp.{base} SRV 20 1 5061 ns\nsip.{base} AAAA 2001:db8:5::{i:x}")
            self._add(f'{base} NAPTR 100 {i} "s" "SIP+D2U" "" _sip._udp.{base}')
            self._add(f'{base} CAA 0 iodef "mailto:ca{i}@example"')
            self._add(f"{base} HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.{i}\n_x.{base} SVCB 2 svc.{base} port={i + 1}")
            self._add(f"{base} TYPE65534 \\# {i % 20 + 2} c00c{i % 20 * 'Ab'}")
            self._add(f"_25._tcp.{base} TLSA 3 1 1 {i:064x}\n{base} SSHFP 4 2 {i:064x}\n{base} LOC 52 22 23.000 N 4 53 32.000 E 10.00m")
            self._add(f'{base} HINFO "cpu {i}" "os"\n{base} RP admin.{base} .\n{base} AFSDB 1 ns')
            self.ask("service", base, "MX", "NAPTR", "CAA", "HTTPS", "TYPE65534", "SSHFP", "LOC", "HINFO", "RP", "AFSDB", "DS", "NS")
            self.ask("service", f"_sip._tcp.{base}", "SRV")
            self.ask("service", f"_x.{base}", "SVCB")
            self.ask("service", f"_25._tcp.{base}", "TLSA")
            self.ask("nothing but names below", f"_tcp.{base}", "A", "SRV")

    def _chains(self):
        for i in range(100):
            length = i % 6 + 1
            for k in range(length):
                self._add(f"c{k}.chain{i} CNAME c{k + 1}.chain{i}")
            if i % 3:
                self._add(f"c{length}.chain{i} A 10.201.0.{i}\nc{length}.chain{i} AAAA 2001:db8:c::{i:x}")
            self.ask("alias", f"c0.chain{i}", "A", "AAAA", "CNAME", "MX")
            self._add(f"away{i} CNAME www{i}.elsewhere.example.")
            self.ask("alias to elsewhere", f"away{i}", "A")
        self._add("tree DNAME svc1")
        self.ask("dname", "sip.tree", "A", "AAAA")
        self.ask("dname", "nothing.tree", "A")

    def _wildcards(self):
        self._add('*.wild A 10.202.0.1\n*.wild TXT "any"\nreal.wild AAAA 2001:db8::1\n*.alias.wild CNAME ns')
        for i in range(60):
            self.ask("wildcard", f"h{i}.wild", "A", "TXT", "MX")
            self.ask("wildcard", f"deep.h{i}.alias.wild", "A")
        self.ask("wildcard", "real.wild", "A", "AAAA")

    def _delegations(self):
        for i in range(60):
            self._add(f"child{i} NS ns.child{i}\nchild{i} NS ns2\nns.child{i} A 10.203.0.{i}")
            self.ask("delegation", f"www.child{i}", "A", "TXT")
            self.ask("delegation", f"child{i}", "NS", "A")
            self.ask("delegation, its DS", f"child{i}", "DS")

    def _large(self):
        for i in range(60):
            count = i % 12 + 3
            for k in range(count):
                self._add(f'large{i} TXT "{k:03} {LONG}"')
            for k in range(i + 10):
                self._add(f"many{i} A 10.204.{i}.{k}")
            self.ask("large", f"large{i}", "TXT")
            self.ask("large", f"many{i}", "A")

    def _oddities(self):
        for i, label in enumerate(("\\000", "a\\.b", "\\255\\254", "\\032blank", "under_score", "x" * 63, "xn--bcher-kva", "-dash-", "UPPER")):
            self._add(f"{label}.odd A 10.205.0.{i}")
            self.ask("odd label", f"{label}.odd", "A", "AAAA")
        deep = ".".join("d" * (i % 3 + 1) for i in range(60))
        self._add(f"{deep} A 10.205.1.1")
        self.ask("deep", deep, "A", "AAAA")
        self.ask("apex", "", "SOA", "NS", "MX", "TXT", "A", "AAAA", "DNSKEY", "CAA", "NSEC")
        self.ask("outside the zone's reach", "localhost.x", "A")

    def choose(self, count, without=()):
        """`count` questions, of each kind at least some; in random order."""
        few = [q for kind, qs in sorted(self.questions.items()) if kind not in without for q in self.random.sample(qs, min(len(qs), 40))]
        all_of_them = [q for kind, qs in sorted(self.questions.items()) if kind not in without for q in qs]
        chosen = list(dict.fromkeys(few + self.random.sample(all_of_them, len(all_of_them))))[:count]
        assert len(chosen) == count, f"only {len(chosen)} questions"
        self.random.shuffle(chosen)
        return chosen

    def signed(self, folder):
        """The zone's text, signed with a key made for it, and the key's record."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "plain").write_text("\n".join(self.lines) + "\n", encoding="ascii")
        key = subprocess.run(["ldns-keygen", "-k", "-a", "ECDSAP256SHA256", APEX], cwd=folder, check=True, capture_output=True, text=True)
        key = key.stdout.strip()
        subprocess.run(["ldns-signzone", "-f", "signed", "plain", key], cwd=folder, check=True, capture_output=True, text=True)
        return (folder / "signed").read_text(encoding="ascii"), (folder / f"{key}.key").read_text(encoding="ascii")
