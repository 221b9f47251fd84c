"""The kind ``aws.aurora-global-database``: one Aurora cluster in each of two regions, the one following the other by its storage."""

from dr.providers.aws.aurora.kind import AuroraGlobalDatabase as AuroraGlobalDatabase
