"""The SROS 2 policy names what the documentation of the node lists, no more and no less."""

from __future__ import annotations

import re

from policy import allowed
from processes import ROOT

OF_ROS = {
    ("topics", "publish"): {"/rosout", "/parameter_events", "/recon_node/transition_event"},
    ("topics", "subscribe"): {"/clock", "/parameter_events", "/tf", "/tf_static"},
}


def documented(kind: str) -> set[str]:
    """Absolute names in the first column of the tables with the rows of messages (or services) in docs/node.md."""
    rows = re.findall(
        r"^\| (`.*?`) \| `.*?(?:_msgs|_interfaces|std_srvs)/", (ROOT / "docs" / "node.md").read_text(), re.MULTILINE
    )
    services = {"save_mesh", "save_cloud", "reset_map", "save_map", "load_map"}
    names = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert services < names
    names = {"odometry" if name == "fusion.poses" else name for name in names}  # the topic that it usually names
    chosen = services if kind == "services" else names - services
    return {name if name.startswith("/") else "/" + name for name in chosen}


def test_the_policy_allows_the_documented_topics() -> None:
    both = [allowed("topics", way) - OF_ROS["topics", way] for way in ("publish", "subscribe")]
    assert not both[0] & both[1]
    assert both[0] | both[1] == documented("topics")
    for (kind, way), names in OF_ROS.items():
        assert names <= allowed(kind, way)


def test_the_policy_allows_the_documented_services() -> None:
    assert {name for name in allowed("services", "reply") if name.count("/") == 1} == documented("services")
    assert not allowed("services", "request") and not allowed("actions", "execute")
