"""An emulated AWS for tests: moto over HTTP, what moto lacks written from the API's documentation, and regions that can be lost.

``dr`` reaches it as it reaches AWS: through profiles with ``endpoint_url``. Nothing in ``dr`` knows that it exists.

::

    with Emulator(("us-west-2", "eu-west-1")) as aws:
        platform = seed(aws, "us-west-2", "eu-west-1", deployments=5)      # or parts=("databases", "traffic")
        os.environ.update(aws.environment())                               # profiles named like the regions
        aws.lose("us-west-2", "blackhole")                                 # or refuse, hang; bring_back; us-east-1 takes ``global`` along
        aws.fault("eu-west-1", "throttle", "rds:*", share=0.3)             # error, lost-answer, slow, hang, deny, refusal; times=, seconds=
        aws.deny("rds:Failover*"); aws.allow_only(actions)                 # IAM actions
        with aws.counted() as calls: ...                                   # every call through a proxy, in order
        aws.set_seconds("rds.failover", seconds=60); aws.advance(60)       # how long things take; let time pass
        aws.set_metric(region, namespace, name, dimensions, value); aws.resolve(name); aws.client(service, region); aws.reset()
        aws.control(NAME, **arguments)                                     # what only some tests need: each function marked @control
"""

from tests.aws.emulator.emulator import ACCOUNT, Emulator, EmulatorError, Made
from tests.aws.emulator.proxy_names import ARC_ENDPOINTS, GLOBAL

__all__ = ["ACCOUNT", "ARC_ENDPOINTS", "GLOBAL", "Emulator", "EmulatorError", "Made"]
