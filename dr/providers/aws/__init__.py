"""AWS: one service per file or folder. The only place that knows boto3. What emulates AWS in tests is not known here.

How the parts lie::

    calls.py     Call (one operation of an API, as its page documents it), Use (a call on what, in which region): data only
    config.py    what every AWS component may say in a runbook
    clients.py   boto3 clients: one for reads and one for acts, time-outs, what happens with an endpoint that is gone
    pace.py      how often an API may be called, for all threads together
    problems.py  an error of boto3 → Transient, Permanent or EffectUnknown, with the next thing to do
    hub.py       Aws: all of it together; what kinds call; together.py: several calls at the same time
    identity.py  whose account the credentials are, and which STS says so
    metrics.py   CloudWatch: everybody's questions of one region in one call
    kind.py      AwsKind, AwsStep: what all kinds and steps have in common; turn.py: how long a look is waited for
    typed.py     a call as a command line of aws-cli, for the day the tool is gone
    names.py     ARNs; place.py: where a call goes, and as whom; values.py: secrets and parameters compared, never shown
    everywhere.py  what lies in no region; two_way.py: what takes writes in both; led.py: what is led over by health
    memory.py    what a region had when it was last seen
    state.py     shared state in DynamoDB
    discover/    what is there: ``dr init aws``

Everything else is one kind each; ``capacity`` and ``readiness`` hold several that are alike.
"""
