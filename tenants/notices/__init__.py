"""Telling people and programs outside that something happened: alerts of a tenant, troubles of the platform.

# Note [How a notice leaves]
Whoever has something to tell queues it in the transaction in which it happened (`notices_queue`): both stay or neither.
The worker takes what is due, sends it outside of any transaction, and notes what became of it; what fails is tried
again with growing pauses. So a notice arrives at least once, and carries an id by which a receiver knows it again.
What is due to one mailbox at once goes there as one message; a webhook gets each notice by itself.
"""
