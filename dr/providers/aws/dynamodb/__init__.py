"""The kind ``aws.dynamodb-global-table``: one table with a replica in each of two regions, which DynamoDB keeps alike."""

from dr.providers.aws.dynamodb.kind import DynamoDbGlobalTable as DynamoDbGlobalTable
