"""Sending what is due: look at the present, hold back, take, send, record.

`present` reads what a delivery is about and decides whether it still matters, `restraint` spares destinations, `claims`
holds the statements that take and record, `sending` runs a batch through all of it.
"""
