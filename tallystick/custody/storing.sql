-- A small group of judged transfers with its event, stored in one call: between many small transactions the round trips cost
-- most. It runs with its caller's rights, and every check of the tables holds as for rows copied in.
-- Columns come as arrays, row i of each is transfer i; 0 and an array too short stand for NULL. Positions follow
-- the head in order. Refuses with TS001 where the book is not where the group was judged to find it.
create function custody_store(
    book int, head_position bigint, head_change bigint, head_withdrawal bigint, head_refusal bigint,
    recorded timestamptz,
    ids uuid[], kinds smallint[], codes smallint[], debits bigint[], credits bigint[], amounts bigint[],
    value_dates date[], ats timestamptz[], authorisations bigint[], settled bigint[], reversed bigint[],
    chains bigint[], expiries bigint[], balancings smallint[], asked bigint[],
    texts_reference text[], texts_payee text[], texts_reason text[], texts_metadata text[],
    entry_accounts bigint[], entry_positions bigint[], entry_debits bigint[], entry_credits bigint[],
    entry_debits_pending bigint[], entry_credits_pending bigint[],
    use_authorisations bigint[], use_numbers int[], use_positions bigint[], use_sums bigint[],
    event_kind text, event_at timestamptz, event_actor text, event_commitment bytea, event_salt bytea,
    event_payload text, event_root bytea, event_leaves bytea
) returns void
    language plpgsql volatile set plan_cache_mode = force_generic_plan set enable_seqscan = off as
$$
declare
    head record;
begin
    select * into head from custody_lock_book(book);
    if coalesce(head.last_position, 0) <> head_position or coalesce(head.change, 0) <> head_change
        or coalesce(head.withdrawal, 0) <> head_withdrawal or coalesce(head.refusal, 0) > head_refusal then
        raise exception 'book % stands at %, not at %', book, head.last_position, head_position
            using errcode = 'TS001';
    end if;
    insert into custody_transfer (
        book_id, position, id, kind, code, debit_account, credit_account, amount_minor, value_date, at, recorded_at,
        authorisation, pending_position, reverses_position, chain_position, expires_at, balancing, asked_minor,
        reference, payee, reason, metadata)
    select book, head_position + t.nth, t.id, t.kind, t.code, t.debit, t.credit, t.amount, t.value_date, t.at, recorded,
        nullif(t.authorisation, 0), nullif(t.settled, 0), nullif(t.reversed, 0), nullif(t.chain, 0),
        timestamptz '2000-01-01 00:00:00Z' + nullif(t.expires, 0) * interval '1 microsecond',
        nullif(t.balancing, 0), case when t.balancing <> 0 then t.asked end,
        t.reference, t.payee, t.reason, t.metadata
    from unnest(ids, kinds, codes, debits, credits, amounts, value_dates, ats, authorisations, settled, reversed,
        chains, expiries, balancings, asked, texts_reference, texts_payee, texts_reason, texts_metadata)
        with ordinality as t (id, kind, code, debit, credit, amount, value_date, at, authorisation, settled,
            reversed, chain, expires, balancing, asked, reference, payee, reason, metadata, nth);
    insert into custody_entry (
        account, position, debits_posted, credits_posted, debits_pending, credits_pending)
    select * from unnest(entry_accounts, entry_positions, entry_debits, entry_credits, entry_debits_pending,
        entry_credits_pending);
    if use_authorisations <> '{}' then
        insert into custody_authorisation_use (authorisation, use, book_id, position, used_minor)
        select u.authorisation, u.use, book, u.position, u.used
        from unnest(use_authorisations, use_numbers, use_positions, use_sums)
            as u (authorisation, use, position, used);
    end if;
    perform evidence_append(event_kind, event_at, event_actor, event_commitment, event_salt, event_payload,
        event_root, event_leaves);
end
$$;
