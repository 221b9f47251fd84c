"""Regions in memory, in virtual time, with faults: the same steps, another world. Ships, and is the test double of everything.

loop      virtual time: jobs that sleep and wait, in an order that nothing but the seed decides
process   one simulated process (an operator's ``dr``, a monitor): its clock, its chance, its threads, its death
wire      one call to something in a region: latency, refusals, time-outs with and without effect
world     the regions, what they hold, and who can reach whom
…         one module for each sort of store; ``kinds`` puts real steps on simulated operations
"""
