"""What a person types to see which images a region's registry has, with ``curl``, and to bring what is missing, with ``skopeo``.

Passwords are read from where the runbook says, into files that only the one command has.
"""

from __future__ import annotations

import shlex
from typing import Protocol, runtime_checkable

from dr.model.by_hand import Typed
from dr.ports import Site
from dr.providers import shell
from dr.providers.selfhosted.oci.config import OciConfig

_NEEDED = """\
SELECT DISTINCT {repository}, digest FROM deployment, unnest(image_digest || image_rollback[1:{rollback}]) AS digest ORDER BY 1, 2"""
_ACCEPT = (
    "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json,"
    " application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)
_SEPARATOR = "case $reference in sha256:*) at=@;; *) at=:;; esac"


@runtime_checkable
class TypedPlatform(Protocol):
    """What this package asks of the component that ``deployments`` names, for people."""

    def psql(self, region: str) -> str:
        """``psql`` to the platform's database in a region, ready for ``-c``."""


class ByHand:
    """The commands of one component."""

    def __init__(self, config: OciConfig, site: Site) -> None:
        self._config, self._site = config, site

    def bring(self, source: str, target: str, asked: str) -> Typed:
        """What the Deployments need, and every tag of ``repositories``, is in the target's registry; the source gives what is missing.

        ``asked``: the region whose database is asked what the Deployments need.
        """
        has, there = self._has(target), f"{{ {_SEPARATOR}; {self._copy(source, target)}; }}"
        do = [shell.every(listed, "repository reference", f"{has} || {there} || exit 1") for listed in self._listed(source, asked)]
        lacks = '{ echo "$repository $reference is missing"; exit 1; }'
        check = [shell.every(listed, "repository reference", f"{has} || {lacks}") for listed in self._listed(target, asked)]
        return Typed(" &&\n".join(do), " &&\n".join(check))

    def _listed(self, tags: str, asked: str) -> list[str]:
        """What prints repository and digest, or repository and tag, of each image that is needed."""
        config, found = self._config, []
        if config.deployments is not None and config.repository is not None:
            name = f"'{config.repository}'"
            for word, column in (("deployment", "id"), ("namespace", "namespace"), ("workspace", "workspace")):
                if f"{{{word}}}" in config.repository:
                    name = f"replace({name}, '{{{word}}}', {column})"
            peer = self._site.peers.get(config.deployments)
            psql = peer.psql(asked) if isinstance(peer, TypedPlatform) else f"psql -X -qAt -h DATABASE_SERVER_IN_{asked.upper()}"
            statement = _NEEDED.format(repository=name, rollback=config.rollback)
            found.append(f"{psql} -F ' ' -c {shlex.quote(statement)}")
        for repository in config.repositories:
            url = f"{config.regions[tags].url}/v2/{repository}/tags/list"
            lines = f"""tr -d ' \\n' | sed 's/.*\\[//; s/\\].*//' | tr ',' '\\n' | sed 's/"//g; s|^|{repository} |'"""
            found.append(f"{self._curl(tags)} {url} | {lines}")
        return found

    def _has(self, region: str) -> str:
        return f"{self._curl(region)} -I -o /dev/null -H '{_ACCEPT}' {self._config.regions[region].url}/v2/$repository/manifests/$reference"

    def _curl(self, region: str) -> str:
        settings = self._config.regions[region]
        words = ["curl -sf --max-time 30"]
        if settings.certificate_authority:
            words.append(f"--cacert {shell.absolute(self._site.base, settings.certificate_authority)}")
        if settings.credentials is not None:
            password = shell.secret(self._site.base, settings.credentials.password)
            words.append(f"-K <(printf 'user = \"{settings.credentials.username}:%s\"' {password})")
        return " ".join(words)

    def _copy(self, source: str, target: str) -> str:
        regions = self._config.regions
        trusted = [shell.absolute(self._site.base, regions[name].certificate_authority or "") for name in (source, target)
                   if regions[name].certificate_authority]  # fmt: skip
        trust = f"SSL_CERT_FILE=<(cat {' '.join(dict.fromkeys(trusted))}) " if trusted else ""
        words = [f"{trust}skopeo copy --all --preserve-digests"]
        for side, name in (("src", source), ("dest", target)):
            host, credentials = regions[name].url.partition("://")[2], regions[name].credentials
            if credentials is not None:
                both = f"printf '{credentials.username}:%s' {shell.secret(self._site.base, credentials.password)} | base64 -w 0"
                words.append(f"""--{side}-authfile <(printf '{{"auths":{{"{host}":{{"auth":"%s"}}}}}}' "$({both})")""")
            if regions[name].url.startswith("http://"):
                words.append(f"--{side}-tls-verify=false")
        old, new = (regions[name].url.partition("://")[2] for name in (source, target))
        return " ".join([*words, f'"docker://{old}/$repository$at$reference" "docker://{new}/$repository$at$reference"'])
