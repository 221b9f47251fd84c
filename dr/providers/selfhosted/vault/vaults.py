"""Both regions' stores as one component: reading everything at once and within a time, comparing, and the digests that are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import timedelta
from fnmatch import fnmatchcase
from threading import Lock
from typing import TypeVar

from dr.errors import CredentialMissing, Permanent, StepError, Transient
from dr.model.identity import IdentitySnapshot
from dr.ports import Site
from dr.providers.selfhosted.vault.accounts import PER_REGION, Compared, Side, compare, compare_kept, unequal
from dr.providers.selfhosted.vault.config import VaultConfig
from dr.providers.selfhosted.vault.deployments import is_keys
from dr.providers.selfhosted.vault.known import Key, Known
from dr.providers.selfhosted.vault.lineage import History
from dr.providers.selfhosted.vault.secret import Fact, Secret
from dr.providers.selfhosted.vault.store import Store
from dr.providers.selfhosted.vault.wire import Denied, NotAnswering, Sealed, Server
from dr.providers.selfhosted.vault.words import leads_into, words

T = TypeVar("T")
R = TypeVar("R")

FRESH = timedelta(0)
RECENT = timedelta(minutes=15)
"""A version never changes under its number; yet what was read longer ago is read again, so that an ill store is noticed."""
NEEDED = timedelta(minutes=1)
"""The same for what Deployments cannot start without: whoever watches reads it every minute, and a failover finds it done."""


class Late(Transient):
    """There was no time left. Says nothing about the server: one that does not answer at all is ``NotAnswering``."""


class Vaults:
    """Everything that steps and views of one component share. Opened when first used; for many threads.

    Args:
        component: its name. site: clock, secrets, samples, the runbook's folder.
    """

    def __init__(self, component: str, config: VaultConfig, site: Site) -> None:
        self.component, self.config, self.site = component, config, site
        authority = None if config.certificate_authority is None else site.base / config.certificate_authority
        limit = config.answer_timeout.total_seconds()
        self.stores: Mapping[str, Store] = {
            region: Store(
                Server(f"{component} in {region} ({server.url})", server.url, self._token(region), authority, limit),
                config.mount, site.clock.now,
            )
            for region, server in config.regions.items()
        }  # fmt: skip
        self._words = words(config)
        templates = (*config.needed, *((config.fernet.path,) if config.fernet is not None else ()))
        self._patterns = [template.replace("{id}", "*").replace("{namespace}", "*") for template in templates]
        basis = config.model_dump_json(include={"per_region", "lost_region_words", "fernet", "regions", "mount"})
        self._known = Known(site.artefacts / "known" / f"{component}.json", basis, site.clock.now)
        self._pool: ThreadPoolExecutor | None = None
        self._lock = Lock()

    def side(self, region: str, age: timedelta = FRESH, timeout: timedelta | None = None, until: float | None = None) -> Side:
        """All protected secrets of a region, each current value read, unless that was done no longer than ``age`` ago (``NEEDED`` for
        what Deployments cannot start without).

        Args:
            timeout: for each answer. until: no value is read after that moment (``clock.monotonic``): the side is partial then.

        Raises:
            StepError: the server cannot be asked. One secret that cannot be read is noted in ``unread`` instead.
        """
        store, limit = self.stores[region], None if timeout is None else timeout.total_seconds()
        secrets = store.secrets(self.config.protects, self.each, limit)
        wanted = [secret for _, secret in sorted(secrets.items()) if secret.current and not secret.gone]
        late = Late("not within the time of one look")

        def one(secret: Secret) -> Fact | None:
            if until is not None and self.site.clock.monotonic() > until:
                raise late
            return self.fact(region, secret, secret.current, min(age, NEEDED) if self._needed(secret.path) else age, limit)

        results = self.results(one, wanted)
        facts, unread = {}, {}
        for secret, found in zip(wanted, results, strict=True):
            if isinstance(found, (NotAnswering, Sealed, Denied)):
                raise found
            if isinstance(found, StepError):
                unread[secret.path] = f"cannot be read: {found.message}"
            elif found is not None:
                facts[secret.path] = found
        self._known.save()
        return Side(region, secrets, facts, unread, partial=late in results)

    def fact(self, region: str, secret: Secret, version: int, age: timedelta, timeout: float | None = None) -> Fact | None:
        """What is kept of one version; None where it is gone. Raises as ``Store.read``."""
        key = Key(region, secret.path, version, secret.versions[version].created.isoformat())
        known = self._known.get(key, age)
        if known is not None:
            return known
        value = self.stores[region].read(secret.path, version, timeout)
        if value is None:
            return None
        text = value.text(self.config.fernet.field) if self.config.fernet is not None else None
        fact = Fact(self.digest(secret.path, value.canonical), leads_into(value, self._words), text is not None and is_keys(text))
        self._known.put(key, fact)
        return fact

    def digest(self, path: str, canonical: str) -> str:
        """The keyed digest of a content at its path: the same content at two paths does not show as the same."""
        own = _matches(path, self.config.per_region)
        return PER_REGION if own else self.site.secrets.digest(f"{path}\n{canonical}")

    def history(self, region: str, secret: Secret, age: timedelta = RECENT) -> History:
        """Keyed digests of every version that can be read. Raises as ``Store.read``."""
        found = {number: self.fact(region, secret, number, age) for number in secret.live}
        return History(region, secret, {number: fact.digest for number, fact in found.items() if fact is not None})

    def compared(self, original: Side, copy: Side) -> Compared:
        """Both sides, histories read where they differ. Raises StepError."""
        paths = unequal(original, copy)

        def both(path: str) -> tuple[History, History]:
            return self.history(original.region, original.secrets[path]), self.history(copy.region, copy.secrets[path])

        return compare(original, copy, dict(zip(paths, self.all(both, paths), strict=True)))

    def compared_kept(self, kept: IdentitySnapshot, copy: Side) -> Compared:
        """A side with the newest account of the other one. Raises StepError."""
        paths = [path for path, digest in kept.items.items() if path in copy.facts and copy.facts[path].digest not in (digest, PER_REGION)]
        histories = self.all(lambda path: self.history(copy.region, copy.secrets[path]), paths)
        return compare_kept(kept.items, kept.region, copy, dict(zip(paths, histories, strict=True)))

    def kept(self, not_from: str) -> IdentitySnapshot | None:
        """The newest account that was taken in the other region."""
        return self.site.samples.identities(self.site.runbook, self.component, not_from=not_from)

    def snapshot(self, side: Side) -> IdentitySnapshot:
        """A side's account, to be kept outside of it."""
        return IdentitySnapshot(taken_at=self.site.clock.now(), region=side.region, deployments=(), items=side.account)

    def keep(self, side: Side) -> IdentitySnapshot:
        """Keeps a side's account as the next comparison's "before" (I7)."""
        snapshot = self.snapshot(side)
        self.site.samples.keep_identities(self.site.runbook, self.component, snapshot)
        return snapshot

    def results(self, work: Callable[[T], R], items: Sequence[T]) -> list[R | StepError]:
        """One result or StepError for each item, in their order; at most ``width`` at once."""

        def one(item: T) -> R | StepError:
            try:
                return work(item)
            except StepError as error:
                return error

        return list(self._threads().map(one, items)) if len(items) > 1 else [one(item) for item in items]

    def all(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Every result, in the order of the items. Raises the first StepError."""
        found = []
        for result in self.results(work, items):
            if isinstance(result, StepError):
                raise result
            found.append(result)
        return found

    def each(self, work: Callable[[str], Secret | None], items: Iterable[str]) -> list[Secret | None]:
        """``all`` for a store that has to ask for each path."""
        return self.all(work, tuple(items))

    def close(self) -> None:
        """Closes connections and ends the threads; safe to call twice."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
        for store in self.stores.values():
            store.server.close()

    def _needed(self, path: str) -> bool:
        return _matches(path, self._patterns)

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.config.width, thread_name_prefix="vault")
            return self._pool

    def _token(self, region: str) -> Callable[[], str]:
        def token() -> str:
            try:
                return self.site.secrets.get(self.config.regions[region].token)
            except CredentialMissing as error:
                problem = Permanent(error.message, hint=error.hint)
            raise problem

        return token


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def within(futures: Mapping[str, Future[T]], monotonic: Callable[[], float], until: float) -> dict[str, T | StepError]:
    """What each future came to before ``until``, or why not. Never raises StepError."""
    found: dict[str, T | StepError] = {}
    for name, future in futures.items():
        try:
            found[name] = future.result(timeout=max(0.0, until - monotonic()))
        except StepError as error:
            found[name] = error
        except FutureTimeout:
            future.cancel()
            found[name] = Late(f"{name} was not looked through within the time of one look")
    return found
