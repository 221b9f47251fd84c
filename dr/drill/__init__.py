"""A drill proves something: a scenario in a world, with faults and acts, judged against what an independent client saw.

The world, the operator's process, the journal and the assessment are handed in: a drill imports neither the lab nor the report.
Whatever happens, the world is ended; what is left over is named and fails the drill.
"""
