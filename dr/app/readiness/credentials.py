"""What lies around the file: is every credential there, and nobody else's to read; can the way to each region's hosts be started?"""

from __future__ import annotations

import shutil
from pathlib import Path

from dr.app.by_hand import references
from dr.app.platform import Platform
from dr.app.readiness.group import Group, Name
from dr.errors import CredentialMissing
from dr.model.runbook import SecretRef
from dr.model.words import Severity
from dr.providers.generic.host import resolved

NAMED: tuple[Name, str] = ("credentials", "each credential is there and private; each way to a region's hosts can be started")
_OTHERS = 0o077


def look(platform: Platform) -> Group:
    """Every reference of the runbook. Values are read and dropped."""
    group = Group(*NAMED)
    for where, ref in references(platform):
        component = where.split(".")[1]
        try:
            platform.site.secrets.get(ref)
            group.passed()
        except CredentialMissing as error:
            group.found(component, Severity.ERROR, f"{where}: {error.message}", error.hint)
            continue
        _private(group, platform, component, where, ref)
    for name, region in platform.runbook.regions.items():
        if region.host is not None:
            program = resolved(region.host.exec, platform.site.base)[0]
            fact = f"regions.{name}.host: {program} cannot be started, so nothing can be fenced or made to follow there"
            group.expect(shutil.which(program) is not None, "", Severity.ERROR, fact, f"ls -l {program}", name)
    return group


def _private(group: Group, platform: Platform, component: str, where: str, ref: SecretRef) -> None:
    if ref.file is None:
        fact = f"{where}: the variable {ref.env} lives as long as this shell; the next one at 03:00 must have it, too"
        group.found(component, Severity.INFO, fact, "a file that only this account can read")
        return
    path = Path(platform.site.base / ref.file).resolve()
    fact = f"{where}: other accounts may read {path}"
    group.expect(not path.stat().st_mode & _OTHERS, component, Severity.WARNING, fact, f"chmod 600 {path}")
