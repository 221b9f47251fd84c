"""Before anything moves: is the target ready, and who are the Deployments now?"""

from __future__ import annotations

from collections.abc import Sequence

from dr.errors import Permanent
from dr.model.evidence import Evidence, Note
from dr.model.words import Guard
from dr.ports import AttemptContext, Look, Seen
from dr.providers.airflow.deployments import Deployment
from dr.providers.airflow.fleet import Fleet
from dr.providers.airflow.step import FleetStep, some
from dr.providers.selfhosted.certificates.judge import Flaw


def region_flaws(fleet: Fleet, region: str, deployments: Sequence[Deployment]) -> tuple[Flaw, ...]:
    """What is wrong with the certificates of a region: of the files where they can be read, else of what a handshake shows."""
    if isinstance(fleet.config.certificates, str):
        return ()  # that component, which is needed, has looked
    hostnames = [hostname for item in deployments for hostname in item.hostnames]
    if region in fleet.config.folders:
        return fleet.flaws(region, hostnames)
    shaken = fleet.web.results(lambda hostname: fleet.https.warm(fleet.public(region, hostname)), hostnames)
    return tuple(
        Flaw(hostname, region, result.message, usable=False)
        for hostname, result in zip(hostnames, shaken, strict=True)
        if isinstance(result, Permanent)
    )


class Prepare(FleetStep):
    """The target's runtime answers, knows every Deployment and has a certificate for every name; connections to it are opened.

    Touches nothing in the other region. Images and pull secrets are recorded in the identities; that they can be pulled is not
    checked here.
    """

    def observe(self, context: AttemptContext) -> Seen:
        """BLOCKED names the first hostname that would not work, and the fix; an acceptance of ``prerequisites`` goes on."""
        status = self.fleet.control.status(self.region)
        deployments = self.fleet.deployments(self.region)
        absent = {item.id for item in deployments} - status.deployments.keys()
        flaws = [flaw for flaw in region_flaws(self.fleet, self.region, deployments) if not flaw.usable]
        reasons = [f"the runtime in {self.region} does not know {some(absent)}: deploy it there"] if absent else []
        if flaws:
            more = f" (and {len(flaws) - 1} more)" if len(flaws) > 1 else ""
            reasons.append(f"{flaws[0]}: {flaws[0].fix}{more}")
        if reasons and not context.accepted(Guard.PREREQUISITES):
            return Seen(Look.BLOCKED, "; ".join(reasons) + f" (try: dr resume {context.run_id} --accept prerequisites --reason TEXT)")
        names = sum(len(item.hostnames) for item in deployments)
        good = "" if isinstance(self.fleet.config.certificates, str) else f", {names - len(flaws)} of {names} certificates good"
        facts = (Note(text=f"{len(deployments)} Deployments known in {self.region}{good}"),)
        return Seen(Look.NEEDED, "; ".join(reasons), facts)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Takes an old freeze back and opens connections. Its database is read-only, so nothing can be written through it yet."""
        status = self.fleet.control.status(self.region)
        if any(item.frozen for item in status.deployments.values()):
            self.fleet.control.thaw(self.region)
        deployments = self.fleet.deployments(self.region)
        context.say(f"{self.fleet.open_lines(self.region, deployments)} of {len(deployments)} connections open")
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """No Deployment is frozen."""
        frozen = [key for key, item in self.fleet.control.status(self.region).deployments.items() if item.frozen]
        return Seen(Look.NEEDED, f"frozen: {some(frozen)}") if frozen else Seen(Look.DONE)


class Snapshot(FleetStep):
    """Keeps who the Deployments are, read in the source of a planned move, outside of it (I7)."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Reads and keeps."""
        snapshot = self.fleet.identities(self.region)
        self.fleet.site.samples.keep_identities(self.fleet.site.runbook, self.fleet.name, snapshot)
        return (Note(text=f"identities of {len(snapshot.deployments)} Deployments kept, {snapshot.sha256[:12]}"),)

    def verify(self, context: AttemptContext) -> Seen:
        """It is there."""
        kept = self.fleet.site.samples.identities(self.fleet.site.runbook, self.fleet.name)
        return Seen(Look.DONE) if kept is not None else Seen(Look.BLOCKED, "the snapshot was kept and is not there")
