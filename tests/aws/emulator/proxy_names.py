"""Names of proxies, and what is reached through which."""

from __future__ import annotations

GLOBAL = "global"
# reached through one endpoint whatever the client's region, and living in us-east-1:
# https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/global-services.html
GLOBAL_SERVICES = frozenset({"route53", "iam", "organizations", "cloudfront", "sts", "account", "route53domains"})
GLOBAL_PROFILE_SERVICES = ("route_53", "iam", "organizations", "cloudfront", "account", "route_53_domains")  # as a config file spells them
# https://docs.aws.amazon.com/r53recovery/latest/dg/introduction-regions-routing.html
ARC_ENDPOINTS = ("us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1", "ap-southeast-2")
