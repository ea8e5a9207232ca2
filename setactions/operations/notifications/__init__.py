"""Tells people, by a webhook and mail, of what they would not notice: ends and pauses of batches, doubts, late timers.

1. Nothing that sends a Set Action knows of this. What happened is looked up afterwards (`events`), by whoever looks:
   the main processes of servers, and the command `notify`.
2. What is new is written to an outbox in one transaction with the note that it was told (`outbox`), so that however
   many look, each event is written once.
3. It is sent from there until the receiver has taken it, so at least once, under the same id.
4. A notice never holds a token, a customer's id, or text from outside that could hold one: it holds counts and names,
   and a link.
"""
