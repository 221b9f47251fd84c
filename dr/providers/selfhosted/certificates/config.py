"""What a runbook says about certificates."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from dr.model.base import Duration, Frozen
from dr.model.runbook import KindConfig


class RegionCertificates(Frozen):
    """Where a region's certificates are seen: in a directory that can be read from here, or at the endpoint that serves them.

    With both, a status looks at the files only, and the step before a move at both.
    """

    directory: str | None = Field(None, description="relative to the runbook")
    address: str | None = Field(None, description="of the endpoint that serves the names; asked by address with the name in SNI")
    port: int = Field(443, ge=1, le=65535)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.directory is None and self.address is None:
            raise ValueError("expected directory or address, or both")
        return self


class CertificatesConfig(KindConfig):
    """Settings of ``tls-certificates``."""

    certificate_authority: str = Field(description="PEM file with the certificates that every chain must lead to")
    deployments: str | None = Field(None, description="the component whose public names all need one, of kind airflow-deployments")
    hostnames: tuple[str, ...] = Field((), description="further names that need one")
    regions: dict[str, RegionCertificates] = Field(min_length=2, description="region: where its certificates are seen")
    certificate_file: str = Field("{hostname}.pem", description="below directory; may begin with the key, and go on with the issuers")
    key_file: str | None = Field(None, description="below directory, where the key is in a file of its own, such as {hostname}.key")
    keys: bool = Field(True, description="the key must be there; false where keys are kept where dr cannot read them")
    min_validity: Duration = Field(timedelta(days=14), description="one that ends sooner is a warning; 14 days are 336h")
    threads: int = Field(16, ge=1, le=64, description="endpoints are asked for so many names at once")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.deployments is None and not self.hostnames:
            raise ValueError("expected deployments or hostnames, or both")
        for text in (self.certificate_file, self.key_file or ""):
            if "{" in text.replace("{hostname}", "") or text.startswith("/") or ".." in text.split("/"):
                raise ValueError("expected file names below the directory, with no other word in braces than {hostname}")
        return self
