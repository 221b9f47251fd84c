"""The kind ``postgres``: decisions without servers, and its step chains against two real servers."""
