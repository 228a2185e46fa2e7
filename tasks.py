"""The Invoke namespace, assembled from each room's own tasks; nothing else happens here."""

from __future__ import annotations

from invoke.collection import Collection

from bench import tasks as bench_tasks
from core import tasks as core_tasks
from lab import tasks as lab_tasks
from mirror import repair_tasks
from mirror import tasks as mirror_tasks
from provision import queue_tasks
from provision import tasks as provision_tasks
from tests import tasks as tests_tasks

ns = Collection()
ns.add_task(lab_tasks.up)
ns.add_task(lab_tasks.down)
ns.add_task(tests_tasks.run_tests)
ns.add_collection(bench_tasks.ns)
ns.add_collection(core_tasks.requirements_ns)
ns.add_collection(lab_tasks.ns)
mirror_tasks.ns.add_task(repair_tasks.repair)
ns.add_collection(mirror_tasks.ns)
ns.add_collection(provision_tasks.cluster_ns)
ns.add_collection(provision_tasks.options_ns)
ns.add_collection(queue_tasks.ns)
ns.add_collection(provision_tasks.ns)
