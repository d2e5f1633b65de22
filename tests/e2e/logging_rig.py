"""A gateway whose queries are logged, with an answer for each of the ways in which one can end."""
import contextlib

from rig import DEFAULT_SERVER, SERVER, Rig, upstream
from servers import ScriptedServer, to_clients
from tls import Authority, with_tls

RULES = ["test forward main", "nx.test block nxdomain id=no-nx", "dropped.test block drop", "fixed.test answer A 192.0.2.7"]
ZONE = "$ORIGIN zone.test.\n@ 300 SOA ns admin 1 3600 600 86400 60\n@ 300 NS ns\nwww 300 A 192.0.2.8\n"


def answers(asked):
    if asked.text.startswith("silent"):
        return None
    if asked.text.startswith("chain"):
        return asked.answer("60 CNAME end.test.", "end.test. 30 A 192.0.2.1")
    if asked.text.startswith("odd"):
        return asked.answer(r'60 TXT "a\009b\"\255"')
    if asked.text.startswith("big"):
        return asked.answer(*[f"60 A 192.0.2.{i}" for i in range(100)])
    return asked.answer("60 A 192.0.2.1")


def log_table(kind, where=None):
    return f'[log]\nqueries = "{kind}"\n' + (f'queries_to = "{where}"\n' if where is not None else "")


def config(rig, log):
    return with_tls(rig.config(
        rules=RULES, upstreams=upstream("main", SERVER, timeout_ms=300) + upstream("internet", DEFAULT_SERVER),
        default="internet", networks='[[zone]]\nfile = "zone"\nnetworks = ["clients"]\n', tail=log))


@contextlib.contextmanager
def running(log):
    rig = Rig()
    try:
        rig.authority = Authority(rig.folder)
        rig.authority.issue("gw", 1001)
        (rig.folder / "zone").write_text(ZONE, encoding="ascii")
        rig.main = rig.add(ScriptedServer(rig.right, SERVER, to_clients(answers), stream=True))
        rig.add(ScriptedServer(rig.right, DEFAULT_SERVER, to_clients(answers)))
        rig.start(config(rig, log(rig)))
        rig.wait_up("main", "internet")
        yield rig
    finally:
        rig.close()
