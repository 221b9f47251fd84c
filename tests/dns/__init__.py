"""The kind ``dns-records``: decisions without servers, and its step chains against two real name servers."""
