"""What pytest needs to know: where the rig lies, that a termination unwinds like Ctrl-C, and what went wrong in a daemon's log."""
import os
import pathlib
import signal
import sys

import pytest

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
