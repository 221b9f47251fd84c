"""One group of checks: how many there were, and what those that did not pass found."""

from __future__ import annotations

from typing import Literal

from dr.model.status import CheckFinding, CheckGroup
from dr.model.words import Severity

Name = Literal["runbook", "dependencies", "credentials", "world", "freshness"]


class Group:
    """Collects. ``reason``: why this group is not looked at."""

    def __init__(self, name: Name, about: str, reason: str = "") -> None:
        self.name, self.about, self.reason = name, about, reason
        self.findings: list[CheckFinding] = []
        self._checked = self._passed = 0

    def passed(self, count: int = 1) -> None:
        """So many checks found nothing."""
        self._checked += count
        self._passed += count

    def found(self, component: str, severity: Severity, fact: str, fix: str = "", region: str | None = None) -> None:
        """One check found something."""
        self._checked += 1
        self.findings.append(CheckFinding(component=component, severity=severity, fact=fact, fix=fix, region=region, group=self.name))

    def expect(
        self, good: bool, component: str, severity: Severity, fact: str, fix: str = "", region: str | None = None
    ) -> None:  # fmt: skip
        """One check: nothing where it is ``good``, else a finding."""
        if good:
            self.passed()
        else:
            self.found(component, severity, fact, fix, region)

    def report(self) -> CheckGroup:
        """For the wire."""
        return CheckGroup(name=self.name, about=self.about, checked=self._checked, passed=self._passed, reason=self.reason)
