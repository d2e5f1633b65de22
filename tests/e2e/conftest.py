"""What pytest needs to know: where the rig lies, that a termination unwinds like Ctrl-C, and what went wrong in a daemon's log."""
import os
import pathlib
import signal
import sys

import pytest
from _pytest.runner import runtestprotocol

sys.path.insert(0, os.path.dirname(__file__))

import netns  # noqa: E402  pylint: disable=wrong-import-position
import rig as rigs  # noqa: E402  pylint: disable=wrong-import-position


def pytest_configure(config):
    config.addinivalue_line("markers", "timeout: from pytest-timeout")
    if os.geteuid() != 0:
        pytest.exit("these tests make network namespaces: run them as root", 2)
    if not rigs.SHUNTD.exists():
        pytest.exit(f"{rigs.SHUNTD} is missing: scripts/build first", 2)
    netns.remove_leftovers()

    def interrupt(_signal, _frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Adds the end of the daemon's log to a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, rigs.Rig) and value.shuntd and pathlib.Path(value.shuntd.log_path).exists():
                report.sections.append(("shuntd's log", value.shuntd.log_text()))


# DPDK 22.11's net_memif frees its rings when the peer goes, in a thread of its own: a process that was taken off its core inside the driver
# then ends with SIGSEGV. What was tested is not the driver's life, so such a test begins anew, and says so.
PEERS_GO = ("test_memif", "test_perf", "test_resources", "test_control_busy", "test_soak")
CRASHED = f"assert -{int(signal.SIGSEGV)} =="


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    if item.module.__name__ not in PEERS_GO:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for last in (False, False, True):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if last or not any(r.failed and CRASHED in r.longreprtext for r in reports):
            break
        print(f"\n{item.nodeid}: net_memif crashed as its peer went: once more", file=sys.stderr)
        item._initrequest()  # pylint: disable=protected-access
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
