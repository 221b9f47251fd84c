"""What a person types for a bucket, with curl alone. Key pairs are read from their files at that moment, and are on no command line."""

from __future__ import annotations

import shlex
from pathlib import Path
from urllib.parse import quote

from dr.model.by_hand import MARK, Question, Typed
from dr.providers.selfhosted.s3 import bash
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
        newest = f"{self._markers(region)} | sort | tail -n 1 | sed 's/[0-9]*-//'"
        beat = self._curl(region, self._keys.heartbeat(self._config.other(region)))
        return Question(component=self._component, region=region, primary=newest, reads=f"{region}: it is the primary", recovery_point=beat)

    def check_writes(self, region: str) -> Typed:
        """A write, and its reading back."""
        key = self._keys.check(region)
        return Typed(f"date -u | {self._put(region, key)}", self._curl(region, key))

    def mark(self, region: str) -> Typed:
        """The marker of the next epoch in a region's store, and the question who is primary there."""
        newest = f"{self._markers(region)} | sort | tail -n 1 | sed 's/-.*//; s/^0*//'"
        key = f"{self._keys.markers}$(printf %010d $(( $({newest}) + 1 )))-{region}"
        check = f'[ "$({self.question(region).primary})" = {region} ]'
        return Typed(f"echo {MARK} | {self._put(region, key, expanded=True)}", check)

    def account(self, target: str) -> Typed:
        """What the target holds, kept for the day when the source can be asked again: key, ETag, bytes and time of each object."""
        kept = f"{self._component}-{target}.keys"
        return Typed(self._block(f"list {target} > {kept}.partial && mv {kept}.partial {kept}"), f"wc -l {kept}")

    def bring_over(self, source: str, target: str) -> Typed:
        """Before a planned move: a heartbeat of the source that arrives, then what the target lacks is put there, and nothing back."""
        left = f"look {source} {target} | {{ grep -v '^only-{target} ' || :; }}"
        do = f"""{self._beat(source)} && arrived {source} {target} && {left} > "$name.unequal" || exit
{_bring_all(source, target)}"""
        check = f"arrived {source} {target} && {_settled(left)}"
        return Typed(self._block(bash.LOOK, bash.KEEP, bash.BRING, bash.ARRIVED, do), self._block(bash.LOOK, bash.ARRIVED, check))

    def preserve(self, source: str, target: str) -> Typed:
        """Objects that only the source has, and its versions of those that differ, are copied into the person's folder."""
        each = f"""look {source} {target} > "$name.unequal" || exit
while read -r found key etag size _; do [ "$found" = only-{target} ] ||"""
        do = f"""mkdir -p "$name-kept" && {each} keep {source} "$key" "$etag" || exit
done < "$name.unequal\""""
        check = f"""{each}
  [ "$(stat -c %s "$(kept {source} "$key" "$etag")")" = "$size" ] || {{ echo "$key is not kept" >&2; exit 1; }}
done < "$name.unequal\""""
        return Typed(self._block(bash.LOOK, bash.KEEP, do), self._block(bash.LOOK, bash.KEEP, check))

    def follow(self, source: str, target: str) -> Typed:
        """What either side lacks is put there, never over another one; the old side learns who leads, and sees a heartbeat."""
        markers, look = _in_url(self._keys.markers), f"look {source} {target}"
        do = f"""{look} > "$name.unequal" || exit
marker=$(cut -d ' ' -f 1 "$name-{source}.now" "$name-{target}.now" | grep '^{_pattern(markers)}' | sort | tail -n 1)
[[ $marker =~ /[0-9]+-{target}$ ]] || {{ echo "the newest marker is '$marker': {target} is not the primary" >&2; exit 1; }}
grep -qF "$marker " "$name-{source}.now" || bring {target} {source} "$marker" || exit
{_bring_all(source, target)} && {self._beat(target)}"""
        check = f"arrived {target} {source} && {_settled(look)}"
        return Typed(self._block(bash.LOOK, bash.KEEP, bash.BRING, do), self._block(bash.LOOK, bash.ARRIVED, check))

    def _block(self, *parts: str) -> str:
        """A command that stands alone: what it needs is defined in it; in a shell of its own, so that it does not close the person's."""
        sides = "\n".join(f'  {region}) {self._curl(region)}"$2" "${{@:3}}";;' for region in self._config.regions)
        head = f"""(set -o pipefail; export LC_ALL=C; name={self._component} ours={shlex.quote(_in_url(self._keys.prefix))}
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT || exit
# s3 REGION /KEY OPTIONS: one request
s3() {{ case $1 in
{sides}
esac; }}"""
        return "\n".join([head, bash.LIST, *parts]) + ")"

    def _beat(self, region: str) -> str:
        body = f'printf \'{{"component": "{self._component}", "region": "{region}", "at": "%s"}}\\n\' "$(date -u +%FT%T.%6N+00:00)"'
        return f"{body} | {self._put(region, self._keys.heartbeat(region))}"

    def _markers(self, region: str) -> str:
        """EPOCH-REGION of each marker; there is one for each move, so one page holds them all."""
        query = f"list-type=2&prefix={quote(self._keys.markers, safe='')}"
        return f"{self._request(region, shlex.quote(f'{self._url(region)}?{query}'))} | grep -o '<Key>[^<]*' | sed 's#.*/##'"

    def _curl(self, region: str, key: str = "") -> str:
        return self._request(region, shlex.quote(f"{self._url(region)}/{_in_url(key)}" if key else self._url(region)))

    def _put(self, region: str, key: str, *, expanded: bool = False) -> str:
        # the object comes from stdin, so the key pair comes from another descriptor
        url = f"{self._url(region)}/{key if expanded else _in_url(key)}"
        word = f'"{url}"' if expanded else shlex.quote(url)
        unsigned = "-H 'x-amz-content-sha256: UNSIGNED-PAYLOAD'"  # curl 7.88 signs the digest of another body
        return f"curl {self._options(region)} -K <({self._user(region)}) -X PUT {unsigned} --data-binary @- {word}"

    def _request(self, region: str, url: str) -> str:
        return f"curl {self._options(region)} -K <({self._user(region)}) {url}"

    def _options(self, region: str) -> str:
        settings = self._config.regions[region]
        authority = f" --cacert {absolute(self._base, settings.certificate_authority)}" if settings.certificate_authority else ""
        # a key is a key, also where it looks like a path with dots
        return f"-sS --fail --path-as-is --connect-timeout 5 --aws-sigv4 {shlex.quote(f'aws:amz:{settings.region_name}:s3')}{authority}"

    def _user(self, region: str) -> str:
        settings = self._config.regions[region]
        return f"printf 'user = \"%s:%s\"\\n' {secret(self._base, settings.access_key)} {secret(self._base, settings.secret_key)}"

    def _url(self, region: str) -> str:
        settings = self._config.regions[region]
        return f"{settings.endpoint_url}/{settings.bucket}"


def _bring_all(source: str, target: str) -> str:
    """A loop over what ``look`` found: what is missing is brought; what differs only where a person said whose version counts, and then
    the other version is kept first."""
    return f"""mkdir -p "$name-kept" && while read -r found key etag size at etag2 size2 at2; do case $found in
  only-{source}) bring {source} {target} "$key";;
  only-{target}) bring {target} {source} "$key";;
  take-{source}) keep {target} "$key" "$etag2" && bring {source} {target} "$key" "$etag2";;
  take-{target}) keep {source} "$key" "$etag" && bring {target} {source} "$key" "$etag";;
  *) echo "$key differs: {source} $size bytes, $at; {target} $size2 bytes, $at2. Say whose counts, then this command again:"
     echo "  echo '$key {source}' >> $name.decided   # or {target}; or leave, and both stay as they are";;
esac || exit; done < "$name.unequal\""""


def _settled(look: str) -> str:
    """Whether nothing is unequal: what is on its way at the first look has arrived at the second one."""
    return f"""{look} > "$name.first" && {{ [ ! -s "$name.first" ] ||
  {{ sleep 2; {look} > "$name.unequal" && ! grep -Fxf "$name.first" "$name.unequal"; }}; }}"""


def _in_url(key: str) -> str:
    """A key as it stands in a URL, and as ``list`` shows it."""
    return quote(key, safe="/~")


def _pattern(text: str) -> str:
    """For ``grep``: of what stands in a URL only a dot has a meaning there."""
    return text.replace(".", "\\.")
