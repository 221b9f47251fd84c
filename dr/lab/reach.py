"""How commands reach a region's host: a script that stands in for ssh, and the flags that say whether it gets through."""

from __future__ import annotations

import os
import shlex

from dr.lab.account import Account, as_account
from dr.lab.layout import RegionLayout
from dr.lab.parts import Programs
from dr.lab.processes import MARK_VARIABLE, STATE_OF_MARK_VARIABLE

_PATIENCE_SECONDS = 127
"""So long Linux tries to connect (tcp_syn_retries=6) before it gives up."""

_SCRIPT = """\
#!/bin/sh
# Written by `dr lab up`: runs its arguments on the host of region {region}, as ssh would. Exit status 255: not reachable.
tries=0
while [ -e {silent} ] && [ $tries -lt {patience} ]; do  # nothing comes back, and TCP knocks until it gives up
  sleep 1
  tries=$((tries + 1))
done
if [ -e {silent} ]; then
  echo "ssh: connect to host {region} ({address}) port 22: Connection timed out" >&2
  exit 255
fi
if [ ! -e {flag} ]; then
  echo "ssh: connect to host {region} ({address}) port 22: No route to host" >&2
  exit 255
fi
if [ $# -eq 0 ]; then
  echo "usage: exec COMMAND [ARGUMENT...]" >&2
  exit 2
fi
cd {folder} || exit 255
exec {prefix}"$@"
"""


def environment(region: RegionLayout, programs: Programs, mark: str, state: str) -> dict[str, str]:
    """What every process on the region's host finds in its environment. ``mark`` makes it recognisable as the lab's."""
    return {
        "PATH": os.pathsep.join((str(programs.postgres_bin), "/usr/local/bin", "/usr/bin", "/bin")),
        "HOME": str(region.data),
        "LC_ALL": "C",
        "PGDATA": str(region.pgdata),
        "PGPASSFILE": str(region.postgres / "pgpass"),
        MARK_VARIABLE: f"{mark}:{region.name}",
        STATE_OF_MARK_VARIABLE: state,
    }


def write_exec(region: RegionLayout, variables: dict[str, str], account: Account | None) -> None:
    """Writes the script ``exec``; it leads nowhere before ``connect``."""
    prefix = [*as_account(account), "/usr/bin/env", "-i", *(f"{name}={value}" for name, value in variables.items())]
    script = _SCRIPT.format(
        region=region.name, address=region.address, flag=shlex.quote(str(region.reachable)), folder=shlex.quote(str(region.data)),
        silent=shlex.quote(str(region.silent)), patience=_PATIENCE_SECONDS,
        prefix="".join(f"{shlex.quote(word)} " for word in prefix),
    )  # fmt: skip
    new = region.exec.with_suffix(".new")
    new.write_text(script, encoding="utf-8")
    new.chmod(0o755)
    new.replace(region.exec)


def connect(region: RegionLayout) -> None:
    """Commands get through from now on."""
    region.reachable.touch()
    region.silent.unlink(missing_ok=True)


def disconnect(region: RegionLayout) -> None:
    """No command gets through any more, and each is told so; those under way go on."""
    region.reachable.unlink(missing_ok=True)
    region.silent.unlink(missing_ok=True)


def silence(region: RegionLayout) -> None:
    """No command gets through any more, and none is told so: packets vanish. Those under way go on."""
    region.silent.touch()
    region.reachable.unlink(missing_ok=True)
