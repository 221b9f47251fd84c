"""What the steps of AWS kinds do in a simulated world: the same claims, refusals and evidence as in ``dr.providers.aws``."""
