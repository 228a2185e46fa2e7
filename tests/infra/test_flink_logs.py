"""What the shipping of Flink's logs needs of YARN, whichever shipper there is.

Of Logstash, which the site runs, the pipeline file alone is ours: test_flink_install.py looks at that.
"""

from __future__ import annotations

from typing import Any

COMPONENT = "logs"
LEAST_DELAY = 60


def test_yarn_leaves_containers_logs_long_enough(host: Any, facts: dict[str, Any]) -> None:
    """Where there is no configuration of YARN, there must be no NodeManager either."""
    from defusedxml import ElementTree

    if not facts["flink_log_container_directories"]:
        return
    site = host.file(f"{facts['flink_hadoop_configuration_directory']}/yarn-site.xml")
    if not site.exists:
        assert "NodeManager" not in host.check_output("ps -eo args")
        return
    found = {
        item.findtext("name"): item.findtext("value") for item in ElementTree.fromstring(site.content_string)
    }
    said = int(found.get("yarn.nodemanager.delete.debug-delay-sec") or 0)
    assert said >= LEAST_DELAY, "containers' logs are gone before they are shipped"
    assert said == facts["flink_log_deletion_delay_seconds"], "the cluster file says otherwise"
