"""What a person types for a bucket, with curl alone. Key pairs are read from their files at that moment, and are on no command line."""

from __future__ import annotations

import shlex
from pathlib import Path
from urllib.parse import quote

from dr.model.by_hand import MARK, Question, Typed
from dr.providers.selfhosted.s3.config import S3Config
from dr.providers.selfhosted.s3.control import Keys
from dr.providers.shell import absolute, secret


class ByHand:
    """The commands of one component."""

    def __init__(self, component: str, config: S3Config, base: Path) -> None:
        self._component, self._config, self._base = component, config, base
        self._keys = Keys(config.control_prefix)

    def question(self, region: str) -> Question:
        """Who is primary as this region's store knows it, and the newest heartbeat of the other one that it holds."""
        newest = f"{self._list(region, self._keys.markers)} | {_KEYS} | sort | tail -n 1 | sed 's/.*-//'"
        beat = self._curl(region, self._keys.heartbeat(self._config.other(region)))
        return Question(
            component=self._component, region=region, primary=newest, reads=f"{region}: it is the primary", recovery_point=beat
        )

    def check_writes(self, region: str) -> Typed:
        """A write, and its reading back."""
        key = self._keys.check(region)
        return Typed(f"date -u | {self._put(region, key)}", self._curl(region, key))

    def beat_and_arrive(self, source: str, target: str) -> Typed:
        """A heartbeat of the source, and how it is seen in the target; then both listings compared."""
        key = self._keys.heartbeat(source)
        body = f'printf \'{{"component": "{self._component}", "region": "{source}", "at": "%s"}}\\n\' "$(date -u +%FT%T.%6N+00:00)"'
        same = f'[ "$({self._curl(source, key)})" = "$({self._curl(target, key)})" ]'
        return Typed(f"{body} | {self._put(source, key)}", f"{same}  # again until it holds; then: {self._differ(source, target)}")

    def mark(self, region: str) -> Typed:
        """The marker of the next epoch in a region's store, and the question who is primary there."""
        newest = f"{self._list(region, self._keys.markers)} | {_KEYS} | sort | tail -n 1 | sed 's#.*/##; s/-.*//; s/^0*//'"
        key = f"{self._keys.markers}$(printf %010d $(( $({newest}) + 1 )))-{region}"
        check = f'[ "$({self.question(region).primary})" = {region} ]'
        return Typed(f"echo {MARK} | {self._put(region, key, expanded=True)}", check)

    def account(self, target: str) -> Typed:
        """What the target holds, kept for the day when the source can be asked again."""
        kept = f"{self._component}-{target}.keys"
        return Typed(f"{self._list(target)} | {_KEYS} > {kept}  # {_MORE}", f"wc -l {kept}")

    def repair(self, source: str, target: str) -> Typed:
        """What differs, listed; each is fetched from the one side and put on the other."""
        bring = f"{self._curl(source, 'KEY')} | {self._put(target, 'KEY')}"
        do = f"{self._differ(source, target)}  # for each: {bring}, or the other way round; {_MORE}"
        return Typed(do, self._differ(source, target))

    def _differ(self, source: str, target: str) -> str:
        return f"diff <({self._list(source)} | {_KEYS}) <({self._list(target)} | {_KEYS})"

    def _list(self, region: str, prefix: str = "") -> str:
        query = "list-type=2" + (f"&prefix={quote(prefix, safe='')}" if prefix else "")
        return self._request(region, shlex.quote(f"{self._url(region)}?{query}"))

    def _curl(self, region: str, key: str) -> str:
        return self._request(region, shlex.quote(f"{self._url(region)}/{quote(key, safe='/')}"))

    def _put(self, region: str, key: str, *, expanded: bool = False) -> str:
        # the object comes from stdin, so the key pair comes from another descriptor
        url = f"{self._url(region)}/{key}"
        word = f'"{url}"' if expanded else shlex.quote(url)
        unsigned = "-H 'x-amz-content-sha256: UNSIGNED-PAYLOAD'"  # curl 7.88 signs the digest of another body
        return f"curl {self._options(region)} -K <({self._user(region)}) -X PUT {unsigned} --data-binary @- {word}"

    def _request(self, region: str, url: str) -> str:
        return f"curl {self._options(region)} -K <({self._user(region)}) {url}"

    def _options(self, region: str) -> str:
        settings = self._config.regions[region]
        authority = f" --cacert {absolute(self._base, settings.certificate_authority)}" if settings.certificate_authority else ""
        return f"-sS --fail --aws-sigv4 {shlex.quote(f'aws:amz:{settings.region_name}:s3')}{authority}"

    def _user(self, region: str) -> str:
        settings = self._config.regions[region]
        return f"printf 'user = \"%s:%s\"\\n' {secret(self._base, settings.access_key)} {secret(self._base, settings.secret_key)}"

    def _url(self, region: str) -> str:
        settings = self._config.regions[region]
        return f"{settings.endpoint_url}/{settings.bucket}"


_MORE = "1,000 keys at a time; the next ones: &start-after=LAST_KEY"
_KEYS = "grep -o '<Key>[^<]*' | sed 's/<Key>//'"
