from __future__ import annotations

import pytest

from core.errors import UsageError
from provision import limits
from provision.cluster import Cluster
from provision.facts import Facts


@pytest.mark.parametrize(
    ("limit", "chosen"),
    [
        ((), ["edge-1", "edge-2", "manager-1", "manager-2", "both-1"]),
        (("edge-2",), ["edge-2"]),
        (("both-1", "edge-2", "edge-2"), ["edge-2", "both-1"]),
        (("role:EDGE",), ["edge-1", "edge-2", "both-1"]),
        (("role:GRAPHITE",), ["manager-2"]),
        (("edge-*",), ["edge-1", "edge-2"]),
        (("*-1",), ["edge-1", "manager-1", "both-1"]),
        (("edge-[2-9]", "manager-?"), ["edge-2", "manager-1", "manager-2"]),
        (("*",), ["edge-1", "edge-2", "manager-1", "manager-2", "both-1"]),
    ],
)
def test_words_mean_hosts_in_the_files_order(
    cluster: Cluster, facts: dict[str, Facts], limit: tuple[str, ...], chosen: list[str]
) -> None:
    assert list(limits.choose(cluster, facts, limit)) == chosen


@pytest.mark.parametrize(
    ("word", "cure"),
    [
        ("edge-3", "did you mean 'edge-2'?"),
        ("manger-1", "did you mean 'manager-1'?"),
        ("role:EGDE", "did you mean 'EDGE'?"),
        ("role:", "known here: EDGE, FLINK, GRAPHITE, KAFKA"),
        ("mangr-*", "did you mean 'manager-"),
        ("kafka-1", "name a host with EDGE or FLINK"),
    ],
)
def test_a_word_that_means_none_offers_the_nearest(
    cluster: Cluster, facts: dict[str, Facts], word: str, cure: str
) -> None:
    with pytest.raises(UsageError) as caught:
        limits.choose(cluster, facts, ("edge-1", word))
    assert caught.value.exit_code == 2
    assert cure in caught.value.cure
