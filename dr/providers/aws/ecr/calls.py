"""What is called of Amazon ECR. Pages: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_OPERATION.html

Images are read on the data plane of their region; rules and policies are control plane there.
"""

from __future__ import annotations

from dr.providers.aws.calls import Call

NO_REPOSITORY, NO_POLICY, NO_IMAGE = "RepositoryNotFoundException", "LifecyclePolicyNotFoundException", "ImageNotFoundException"

IMAGES = Call(
    "ecr", "BatchGetImage", plane="data",
    refusals={"UnableToGetUpstreamImageException": "the upstream registry of the pull-through cache has no such image, or does not answer"},
)  # fmt: skip
"""Up to 100 images of one repository; those that are not there are listed as failures. API_BatchGetImage; InvalidParameterException,
LimitExceededException, RepositoryNotFoundException, ServerException, UnableToGetUpstreamImageException."""

STATUS = Call("ecr", "DescribeImageReplicationStatus")
"""What became of one image's replication, by region. API_DescribeImageReplicationStatus; ImageNotFoundException,
InvalidParameterException, RepositoryNotFoundException, ServerException, ValidationException."""

REGISTRY = Call("ecr", "DescribeRegistry")
"""The replication rules of a registry. API_DescribeRegistry; InvalidParameterException, ServerException, ValidationException."""

CACHES = Call("ecr", "DescribePullThroughCacheRules")
"""Which prefixes are filled from another registry. API_DescribePullThroughCacheRules; PullThroughCacheRuleNotFoundException, …"""

POLICY = Call("ecr", "GetLifecyclePolicy")
"""What expires a repository's images. API_GetLifecyclePolicy; LifecyclePolicyNotFoundException, RepositoryNotFoundException, …"""

DETAILS = Call("ecr", "DescribeImages")
"""All images of a repository with tags and times of push, up to 1,000 a page. API_DescribeImages; ImageNotFoundException,
RepositoryNotFoundException, …"""

MOST = 100
"""Images of one BatchGetImage, by the API's documentation."""
