"""Applications that bring Avro along run beside those that rely on the platform's."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

from lab import job_run, jobs_build
from tests.lab.conftest import UpLab

# What a build tool puts into a fat jar of such an application; the connector is the platform's.
BROUGHT = (
    "flink-avro",
    "avro",
    "jackson-core",
    "jackson-databind",
    "jackson-annotations",
    "commons-compress",
)


def fat_jar(up_lab: UpLab) -> bytes:
    """Return the lab's thin jar with its own copies of Flink's Avro format, Avro and Jackson."""
    folder = up_lab.lab.mirror_root / "current" / "mirror_apps" / "flink-1.20" / "lib"
    jars = [jobs_build.jar(), *(next(folder.glob(f"{name}-[0-9]*.jar")) for name in BROUGHT)]
    made, seen = io.BytesIO(), set()
    with zipfile.ZipFile(made, "w") as out:
        for jar in jars:
            with zipfile.ZipFile(jar) as source:
                for name in source.namelist():
                    if name not in seen and not name.endswith((".SF", ".RSA", "module-info.class")):
                        seen.add(name)
                        out.writestr(name, source.read(name))
    assert "org/apache/avro/Schema.class" in seen
    return made.getvalue()


def test_a_fat_jar_with_its_own_avro_runs(ansible_lab: UpLab) -> None:
    run = replace(job_run.new(ansible_lab.lab), records=1000)
    job_run.prepare(run)
    job_run.put(ansible_lab.lab, "lab-jobs.jar", fat_jar(ansible_lab))
    for job in (job_run.generate(run), job_run.copy(run)):
        assert job.id
