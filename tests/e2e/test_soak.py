"""The soak of scripts/soak, for half a minute: all at once, and nothing lost."""
import pytest

from soak import Soak


@pytest.mark.timeout(150)
def test_nothing_is_lost_while_targets_flap_links_go_down_rules_change_and_tcp_clients_misbehave():
    lines = []
    failures = Soak(seconds=22, interval=3, search_seconds=0.3, say=lines.append).run()
    assert not failures, "\n".join(lines)
