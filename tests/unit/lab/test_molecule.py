from __future__ import annotations

from pathlib import Path

import pytest

from lab.molecule import checks

SUITE = '<testsuites><testsuite tests="{}" failures="{}" errors="0" skipped="{}"/></testsuites>'


@pytest.mark.parametrize(
    ("tests", "bad", "skipped", "passed"), [(36, 0, 0, 36), (36, 1, 2, 33), (0, 0, 0, 0)]
)
def test_checks_that_passed_are_counted(
    tmp_path: Path, tests: int, bad: int, skipped: int, passed: int
) -> None:
    report = tmp_path / "checks.xml"
    report.write_text(SUITE.format(tests, bad, skipped))
    assert checks(report) == passed


def test_a_run_without_a_report_or_with_a_torn_one_has_checked_nothing(tmp_path: Path) -> None:
    report = tmp_path / "checks.xml"
    assert checks(report) == 0
    report.write_text("<testsuites><testsuite")
    assert checks(report) == 0
