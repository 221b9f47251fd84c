"""Secrets in OpenBao or HashiCorp Vault (key/value engine, version 2), one server in each region, compared and copied by ``dr``.

Neither product's open edition replicates: a version is numbered by the server that took it. So contents are compared by keyed digest and
origins are kept beside them. Decisions (``lineage``, ``accounts``, ``findings``) are pure; ``wire`` and ``store`` talk to the servers;
each verb has its own file. Nothing here knows of the lab. No value ever leaves this package: see ``secret.Value``.
"""

from dr.providers.selfhosted.vault.kind import VaultKv

__all__ = ["VaultKv"]
