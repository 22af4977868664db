-- The queue of notices. Every block runs with the tenant bound that the rows are of, or with none for the platform's.

-- name: notice_queue
-- Does nothing where the same notice was queued for the same address before.
INSERT INTO notice_deliveries (tenant_id, kind, address, nonce, notice_key, event, subject, body, facts, happened_at,
                               queued_at, due_at)
VALUES (%(tenant_id)s, %(kind)s, %(address)s, %(nonce)s, %(key)s, %(event)s, %(subject)s, %(body)s, %(facts)s,
        %(happened_at)s, %(now)s, %(now)s)
ON CONFLICT DO NOTHING;

-- name: tenants_due
SELECT * FROM notice_tenants_due(%(now)s);

-- name: delivery_claim
-- The one that waits longest, taken for a while: a worker that dies with it gives it back by that. Each attempt is counted
-- before it is made.
UPDATE notice_deliveries d
SET attempts = d.attempts + 1, due_at = %(until)s
-- A subquery in FROM may be run again for each row, and then takes one after the other.
WHERE d.delivery_id = (
    SELECT delivery_id FROM notice_deliveries
    WHERE due_at <= %(now)s AND tenant_id IS NOT DISTINCT FROM %(tenant_id)s::integer
    ORDER BY due_at, delivery_id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING d.delivery_id, d.kind, d.address, d.nonce, d.event, d.subject, d.body, d.facts::text, d.happened_at, d.attempts;

-- name: deliveries_join
-- What is due to the same mailbox, taken likewise.
UPDATE notice_deliveries d
SET attempts = d.attempts + 1, due_at = %(until)s
WHERE d.delivery_id = ANY (ARRAY(
    SELECT delivery_id FROM notice_deliveries
    WHERE due_at <= %(now)s AND tenant_id IS NOT DISTINCT FROM %(tenant_id)s::integer AND kind = 'email'
      AND address = %(address)s
    ORDER BY due_at, delivery_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
RETURNING d.delivery_id, d.kind, d.address, d.nonce, d.event, d.subject, d.body, d.facts::text, d.happened_at, d.attempts;

-- name: delivery_finish
-- Only of the attempt that is the last: one that took longer than it was given says nothing of those after it.
UPDATE notice_deliveries
SET due_at = %(due_at)s, delivered_at = %(delivered_at)s, failed_at = %(failed_at)s, error = %(error)s
WHERE delivery_id = %(delivery_id)s AND attempts = %(attempts)s AND delivered_at IS NULL AND failed_at IS NULL;

-- name: deliveries_read
-- The newest of those whose key begins so.
SELECT delivery_id, kind, address, notice_key, event, queued_at, attempts, due_at, delivered_at, failed_at, error
FROM notice_deliveries
WHERE tenant_id IS NOT DISTINCT FROM %(tenant_id)s::integer AND starts_with(notice_key, %(prefix)s)
ORDER BY queued_at DESC, delivery_id DESC
LIMIT %(limit)s;

-- name: deliveries_expire
DELETE FROM notice_deliveries
WHERE tenant_id IS NOT DISTINCT FROM %(tenant_id)s::integer AND queued_at < %(before)s AND due_at IS NULL;
