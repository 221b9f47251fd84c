"""The kind ``aws.rds-read-replica``: an RDS instance whose read replica is in the other region."""

from dr.providers.aws.rds_replica.kind import RdsReadReplica as RdsReadReplica
