"""The proof of the product's promise: every action that TMS accepted has exactly one Job, and nothing else has one.

`manage.py prove` kills real servers at random moments under load, and lets `judge` compare what the
simulated TMS received with what the databases hold and with what clients were shown. Nothing of the
product imports this package.
"""
