"""The plainest gateway: one upstream, which has an address for every name."""
import contextlib

from rig import SERVER, Rig, upstream
from servers import ScriptedServer


def main_upstream():
    return upstream("main", SERVER)


@contextlib.contextmanager
def answering_gateway(rules):
    """A gateway with those rules, up and ready. They may forward to "main"."""
    rig = Rig()
    try:
        rig.add(ScriptedServer(rig.right, SERVER, lambda a: a.answer("300 A 192.0.2.1")))
        rig.start(rig.config(rules=rules, upstreams=main_upstream()))
        rig.wait_up("main")
        yield rig
    finally:
        rig.close()
