"""Follow: the old primary becomes a secondary of the new one: restarted, rewound, or copied anew."""

from __future__ import annotations

from datetime import timedelta

from dr.errors import EffectUnknown, Permanent, Transient
from dr.model.evidence import Evidence, Following
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.postgres import preserve, wal
from dr.providers.selfhosted.postgres.cluster import NEWEST_COPY, Cluster, ClusterStep
from dr.providers.selfhosted.postgres.facts import Reading, read, try_read
from dr.providers.selfhosted.postgres.lineage import compare
from dr.providers.selfhosted.postgres.prepare import checkpoint
from dr.providers.selfhosted.postgres.server import NOT_REACHABLE, Running, said
from dr.providers.selfhosted.postgres.slots import drop_slot, ensure_slot

_HOST_LIMIT = timedelta(seconds=10)
_STOP_LIMIT = timedelta(minutes=2)
_START_LIMIT = timedelta(minutes=10)
_CHECKPOINT_LIMIT = timedelta(minutes=10)
_COPY_LIMIT = timedelta(hours=12)
_NO_CONNECTION = ("could not connect", "connection to server", "no password supplied", "authentication failed")


class Follow(ClusterStep):
    """The source follows the target. Which of the two is overwritten is judged by timelines, never by the runbook's words."""

    def __init__(self, cluster: Cluster, source: str, target: str) -> None:
        super().__init__(cluster, source, target)
        self._how = "as found"

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it streams from the target. BLOCKED: it may not be overwritten, or it is not fenced."""
        server = self.cluster.servers[self.source]
        process = server.process(_HOST_LIMIT)
        if process.running in (Running.NO_HOST, Running.UNCLEAR):
            raise Transient(f"{self.cluster.component} in {self.source}: {process.said}")
        if process.running is Running.YES:
            seen = self._streaming()
            if seen.look is Look.DONE:
                return seen
            reading = try_read(self.cluster.connections, self.cluster.component, self.source)
            if isinstance(reading, Reading) and not reading.recovering:
                return Seen(Look.BLOCKED, f"{self.source} takes writes: it has to be fenced first")
            return Seen(Look.NEEDED, seen.reason)
        if preserve.overwriting(server):
            return Seen(Look.NEEDED, "an earlier run was overwriting it")
        lineage = compare(self.cluster, self.source, self.target).lineage
        if lineage.course is wal.Course.REFUSE:
            return Seen(Look.BLOCKED, f"{NEWEST_COPY}: {self.source} may not be overwritten: {lineage.reason}")
        return Seen(Look.NEEDED, lineage.reason)

    def preserve(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """What only the source has, where no earlier step kept it. Raises Permanent where it cannot be kept."""
        return preserve.needed(self.cluster, self.source, self.target, context)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Slot and CHECKPOINT in the target; the source is stopped, brought to the target's history, and started as its secondary."""
        connections, server = self.cluster.connections, self.cluster.servers[self.source]
        if server.process(_HOST_LIMIT).running is Running.YES:
            done = server.stop("fast", self.cluster.left(context, _STOP_LIMIT))
            if done.status != 0:
                raise EffectUnknown(f"stop of {self.cluster.component} in {self.source}: {said(done)}")
        notes = checkpoint(self.cluster, self.target, self.cluster.left(context, _CHECKPOINT_LIMIT))
        context.still_ours()
        self._how = self._brought_over(context)
        slot = server.setting("primary_slot_name") or self.cluster.config.slot(self.source)
        notes += ensure_slot(connections, self.target, slot)
        # not asked once more: what was rewound already would be copied from the beginning, and nobody else starts it meanwhile
        self._become_secondary(slot)
        context.say("starting")
        server.start(self.cluster.left(context, _START_LIMIT))
        server.must(["rm", "-f", preserve.marker(server)], _HOST_LIMIT)
        return (*notes, *drop_slot(connections, self.source, self.cluster.config.slot(self.target)))

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: its receiver streams, on the target's timeline."""
        return self._streaming()

    def _streaming(self) -> Seen:
        reading = try_read(self.cluster.connections, self.cluster.component, self.source)
        if not isinstance(reading, Reading):
            return Seen(Look.NEEDED, reason=reading.reason)
        if not reading.recovering:
            return Seen(Look.BLOCKED, f"{self.source} takes writes")
        target = read(self.cluster.connections, self.cluster.component, self.target)
        if reading.receiver != "streaming" or reading.timeline != target.timeline or target.recovering:
            return Seen(Look.NEEDED, f"{self.source}: receiver {reading.receiver or 'not running'}, timeline {reading.timeline}")
        follows = self.cluster.config.regions[self.source].follows
        following = Following(
            component=self.cluster.component, region=self.source, upstream=f"{follows.address}:{follows.port}", how=self._how
        )
        return Seen(Look.DONE, evidence=(following,))

    def _brought_over(self, context: AttemptContext) -> str:
        server = self.cluster.servers[self.source]
        if not preserve.overwriting(server):
            compared = compare(self.cluster, self.source, self.target)
            if compared.lineage.course is wal.Course.REFUSE:
                raise Permanent(f"{NEWEST_COPY}: {self.source} may not be overwritten: {compared.lineage.reason}")
            if compared.lineage.course is wal.Course.RESTART:
                return "restarted"
            server.must(["touch", preserve.marker(server)], _HOST_LIMIT)
            if self._rewound(context):
                return "rewound"
        self._copied(context)
        return "copied anew"

    def _rewound(self, context: AttemptContext) -> bool:
        """Whether pg_rewind did it. It needs wal_log_hints or checksums, and the log back to the last common checkpoint."""
        server = self.cluster.servers[self.source]
        context.say("pg_rewind")
        argv = [server.settings.tool("pg_rewind"), "--target-pgdata", server.data(), "--source-server", self._upstream(database=True)]
        if server.settings.config_file is not None:
            argv += ["--config-file", server.settings.config_file]
        done = server.run(argv, self.cluster.left(context, _COPY_LIMIT))
        if done.status == NOT_REACHABLE or (done.status != 0 and any(sign in done.err for sign in _NO_CONNECTION)):
            hint = "the password file of the servers' account on that host must name the target"
            raise Transient(f"pg_rewind in {self.source}: {said(done)}", hint=hint)
        return done.status == 0

    def _copied(self, context: AttemptContext) -> None:
        server, follows = self.cluster.servers[self.source], self.cluster.config.regions[self.source].follows
        context.say("pg_basebackup")
        limit = self.cluster.left(context, _COPY_LIMIT)
        server.must(["find", server.data(), "-mindepth", "1", "-delete"], limit)
        user = follows.user or self.cluster.config.user
        where = ["-h", follows.address, "-p", str(follows.port), "-U", user, "--no-password"]
        server.must([server.settings.tool("pg_basebackup"), "-D", server.data(), *where, "-X", "stream", "-c", "fast"], limit)

    def _become_secondary(self, slot: str) -> None:
        server = self.cluster.servers[self.source]
        data = server.data()
        if not server.follows():
            server.append_setting("primary_conninfo", self._upstream(database=False), _HOST_LIMIT)
        if server.setting("primary_slot_name") != slot:
            server.append_setting("primary_slot_name", slot, _HOST_LIMIT)
        server.must(["rm", "-f", f"{data}/recovery.signal"], _HOST_LIMIT)
        server.must(["touch", f"{data}/standby.signal"], _HOST_LIMIT)

    def _upstream(self, *, database: bool) -> str:
        """How the source reaches the target. The password comes from the password file of the servers' account, never from here."""
        follows, config = self.cluster.config.regions[self.source].follows, self.cluster.config
        parts = {"host": follows.address, "port": str(follows.port), "user": follows.user or config.user, "application_name": self.source}
        if database:
            parts.update(user=config.user, dbname=config.database)
        if config.sslmode is not None:
            parts["sslmode"] = config.sslmode
        return " ".join(f"{name}={value}" for name, value in parts.items())
