"""Airflow-style Deployments: hold, inside checks, reconcile, start in order, canary, identities.
"""
