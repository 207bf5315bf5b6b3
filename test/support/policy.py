"""The SROS 2 policy of the package, read as `ros2 security create_permission` reads it."""

from __future__ import annotations

from xml.etree import ElementTree

from processes import ROOT

POLICY = ROOT / "config" / "sros2_policy.xml"


def allowed(kind: str, qualifier: str) -> set[str]:
    """Absolute names that the policy allows: `allowed("topics", "publish")`, `allowed("services", "reply")`."""
    profile = ElementTree.parse(POLICY).getroot().find("enclaves/enclave/profiles/profile")
    assert profile is not None
    namespace, node = profile.attrib["ns"], profile.attrib["node"]
    listed = [each for group in profile.findall(kind) if group.attrib.get(qualifier) == "ALLOW" for each in group]
    names = [each.text or "" for each in listed]
    assert len(names) == len(set(names)), "a name stands twice"
    return {name.replace("~", f"{namespace}{node}", 1) if name[0] in "~/" else namespace + name for name in names}
