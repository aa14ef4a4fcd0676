-- What the database itself refuses, whoever writes: the service, or somebody with psql and the writer's role.
--
-- Row constraints look at numbers alone (an account number says its book, family and asset; an authorisation
-- number says whose it is). What needs more rows is checked once a statement, not once a row, and completed
-- by a deferred check once a batch. Measured: docs/decisions/0103-checks-once-a-statement.md.

-- ── transfers: each row by itself ────────────────────────────────────────────────────────────────────────

alter table custody_transfer
    add constraint custody_transfer_sound check (
        amount_minor between 1 and 1000000000000000
        and position >= 1
        and kind between 1 and 5
        and debit_account <> credit_account
        and debit_account / 1000000000000000 = book_id
        and credit_account / 1000000000000000 = book_id
        and debit_account / 10000000000 % 10000 = credit_account / 10000000000 % 10000
        and (kind in (3, 4, 5)) = (pending_position is not null)
        and (kind = 2 or expires_at is null)
        and (reverses_position is null or kind = 1 and reason is not null and authorisation is null)
        and (metadata is null or metadata is json object)
    ),
    -- Client money (1) reaches own money (2) only as a fee (code 6) on an entitlement (authorisation kind 3); own money
    -- never reaches clients, banks' control accounts or suspense back but to reverse such a fee or its payout.
    add constraint custody_transfer_border check (
        reverses_position is not null
        or case debit_account / 100000000000000 % 10
            when 1 then credit_account / 100000000000000 % 10 <> 2 or authorisation % 10 = 3 and code = 6
            when 2 then credit_account / 100000000000000 % 10 in (2, 3)
            else credit_account / 100000000000000 % 10 <> 2
        end
    ),
    -- Every debit of a client names an authorisation by that client.
    add constraint custody_transfer_authorised check (
        debit_account / 100000000000000 % 10 <> 1
        or reverses_position is not null
        or (authorisation is not null and authorisation / 100000000 = debit_account % 10000000000)
    );

-- Whether a settlement settles and a reversal reverses what it names: `custody_batch_complete`.
-- A pending transfer is settled once; a transfer is reversed once.
create unique index custody_transfer_settles on custody_transfer (book_id, pending_position)
    where pending_position is not null;
create unique index custody_transfer_reverses on custody_transfer (book_id, reverses_position)
    where reverses_position is not null;

-- ── entries: each row by itself ──────────────────────────────────────────────────────────────────────────

-- Clients, own money and suspense can never be overdrawn, held money included; only a control account can.
alter table custody_entry
    add constraint custody_entry_sound check (
        debits_posted >= 0 and credits_posted >= 0 and debits_pending >= 0 and credits_pending >= 0
        and (account / 100000000000000 % 10 = 3 or credits_posted - debits_posted - debits_pending >= 0)
    );

-- ── a batch: positions without a gap, in commit order ────────────────────────────────────────────────────

create function custody_transfer_batch() returns trigger
    -- Planned once a session, by index: planning costs more than what these small questions cost themselves.
    language plpgsql security definer set search_path = pg_catalog, public
    set enable_seqscan = off set plan_cache_mode = force_generic_plan as
$$
declare
    book int;
    before int;
    head record;
    batch record;
begin
    -- What this statement added is what stands beyond each book's head. No transition table: it would copy
    -- every row once more.
    loop
        select t.book_id into book from custody_transfer t
        where t.book_id > coalesce(before, -1) order by t.book_id limit 1;
        exit when not found;
        before := book;
        select last_position, recorded_at into head
        from custody_batch where book_id = book order by last_position desc limit 1;
        select min(position) as first_position, max(position) as last_position, count(*) as transfers,
               min(recorded_at) as recorded_from, max(recorded_at) as recorded_at
        into batch
        from custody_transfer where book_id = book and position > coalesce(head.last_position, 0);
        continue when batch.transfers = 0;
        -- The book's order is decided under this lock, held to the commit. The service holds it already.
        perform pg_advisory_xact_lock(1952541804, book);
        if batch.first_position <> coalesce(head.last_position, 0) + 1
            or batch.last_position - batch.first_position + 1 <> batch.transfers then
            raise exception 'positions % to % of book % do not follow position %',
                batch.first_position, batch.last_position, book, coalesce(head.last_position, 0)
                using errcode = 'integrity_constraint_violation', constraint = 'custody_batch_gap_free';
        end if;
        if batch.recorded_from <> batch.recorded_at or batch.recorded_at < head.recorded_at then
            raise exception 'book % was last posted to at %; % is before it or not one time',
                book, head.recorded_at, batch.recorded_from
                using errcode = 'integrity_constraint_violation', constraint = 'custody_batch_time';
        end if;
        insert into custody_batch (book_id, first_position, last_position, recorded_at)
        values (book, batch.first_position, batch.last_position, batch.recorded_at);
    end loop;
    return null;
end
$$;

create trigger custody_transfer_batch after insert on custody_transfer
    for each statement execute function custody_transfer_batch();

-- The book's order is this lock's order. The head is read after it is taken, so it stays the head until commit.
create function custody_lock_book(book int)
    returns table (last_position bigint, recorded_at timestamptz, change bigint, withdrawal bigint, refusal bigint)
    language plpgsql volatile set enable_seqscan = off set plan_cache_mode = force_generic_plan as
$$
begin
    perform pg_advisory_xact_lock(1952541804, book);
    return query select * from custody_head(book);
end
$$;

create function custody_head(book int)
    returns table (last_position bigint, recorded_at timestamptz, change bigint, withdrawal bigint, refusal bigint)
    language sql stable as
$$
    select head.last_position, head.recorded_at,
        (select s.id from custody_account_state s where s.book_id = book order by s.id desc limit 1),
        (select w.id from custody_authorisation_withdrawal w where w.book_id = book order by w.id desc limit 1),
        (select r.id from custody_transfer_refusal r where r.book_id = book order by r.id desc limit 1)
    from (select book) as b left join lateral (
        select h.last_position, h.recorded_at from custody_batch h
        where h.book_id = b.book order by h.last_position desc limit 1
    ) head on true
$$;

-- ── a batch: two entries a transfer, each moved by its transfer and nothing else ─────────────────────────

create table custody_batch_entries (
    book_id smallint not null,
    last_position bigint not null,
    primary key (book_id, last_position)
);
comment on table custody_batch_entries is 'Batches whose entries have come: two for each transfer, and no more.';

create table custody_batch_check (
    book_id smallint not null,
    last_position bigint not null,
    unsound bigint not null,
    checked_at timestamptz not null default clock_timestamp(),
    primary key (book_id, last_position)
);
comment on table custody_batch_check is
    'Batches whose entries were compared with their transfers and with the entries before them.';
comment on column custody_batch_check.unsound is 'entries that do not follow: 0, or somebody has forged the ledger';

-- How many of a batch's entries are missing or do not follow from their transfer and the account's entry before.
create function custody_entries_unsound(book int, first_position bigint, last_position bigint) returns bigint
    language sql stable security definer set search_path = pg_catalog, public
    set enable_seqscan = off set max_parallel_workers_per_gather = 0 set plan_cache_mode = force_generic_plan as
$$
    with legs as (
        select t.position, t.debit_account as account, true as is_debit, t.kind, t.amount_minor, t.pending_position
        from custody_transfer t where t.book_id = book and t.position between first_position and last_position
        union all
        select t.position, t.credit_account, false, t.kind, t.amount_minor, t.pending_position
        from custody_transfer t where t.book_id = book and t.position between first_position and last_position
    ), moves as (
        select l.account, l.position, l.is_debit,
            case when l.kind in (1, 3) then l.amount_minor else 0 end as posted,
            case when l.kind = 1 then 0 when l.kind = 2 then l.amount_minor else -(
                select p.amount_minor from custody_transfer p
                where p.book_id = book and p.position = l.pending_position) end as pending
        from legs l
    )
    select count(*) from moves m
    -- `limit 1`: one by one through the index. A plan for the whole table would cost more with every day.
    left join lateral (
        select o.* from custody_entry o where o.account = m.account and o.position = m.position limit 1
    ) e on true
    left join lateral (
        select o.* from custody_entry o
        where o.account = m.account and o.position < m.position order by o.position desc limit 1
    ) before on true
    where (
        e.debits_posted = coalesce(before.debits_posted, 0) + case when m.is_debit then m.posted else 0 end
        and e.credits_posted = coalesce(before.credits_posted, 0) + case when m.is_debit then 0 else m.posted end
        and e.debits_pending = coalesce(before.debits_pending, 0) + case when m.is_debit then m.pending else 0 end
        and e.credits_pending = coalesce(before.credits_pending, 0) + case when m.is_debit then 0 else m.pending end
    ) is not true
$$;

-- A statement of up to 100 entries is compared with its transfers at once. A bulk load's comparison would
-- cost more than the load: it is counted at once and compared by `custody_check_next`, within seconds, by the
-- service's own beat (docs/decisions/0103-checks-once-a-statement.md has the figures).
create function custody_entry_batch() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public
    set enable_seqscan = off set plan_cache_mode = force_generic_plan as
$$
declare
    book int;
    last_book int;
    entries bigint;
    first_position bigint;
    last_position bigint;
    batch record;
    unsound bigint;
begin
    select min(account) / 1000000000000000, max(account) / 1000000000000000, count(*), min(position), max(position)
    into book, last_book, entries, first_position, last_position from counted;
    if entries = 0 then
        return null;
    end if;
    select b.first_position, b.last_position, b.xmin into batch
    from custody_batch b where b.book_id = book order by b.last_position desc limit 1;
    if book <> last_book or batch is null or batch.xmin <> pg_current_xact_id()::xid
        or first_position < batch.first_position or last_position > batch.last_position
        or entries <> 2 * (batch.last_position - batch.first_position + 1) then
        raise exception 'entries come two to a transfer, in the transaction of their transfers'
            using errcode = 'integrity_constraint_violation', constraint = 'custody_entry_of_batch';
    end if;
    insert into custody_batch_entries values (book, batch.last_position);
    if entries <= 100 then
        unsound := custody_entries_unsound(book, batch.first_position, batch.last_position);
        if unsound > 0 then
            raise exception '% of % entries do not follow from their transfers', unsound, entries
                using errcode = 'integrity_constraint_violation', constraint = 'custody_entry_follows';
        end if;
        insert into custody_batch_check (book_id, last_position, unsound) values (book, batch.last_position, 0);
    end if;
    return null;
end
$$;

create trigger custody_entry_batch after insert on custody_entry
    referencing new table as counted for each statement execute function custody_entry_batch();

-- Compare the oldest batch after this position that has not been compared. Returns its last position and how many entries are
-- unsound, or no row where all have been.
create function custody_check_next(book int, after bigint) returns table (position_checked bigint, entries_unsound bigint)
    language plpgsql volatile security definer set search_path = pg_catalog, public as
$$
declare
    batch record;
begin
    select b.first_position, b.last_position into batch
    from custody_batch b
    where b.book_id = book and b.last_position > after and not exists (
        select from custody_batch_check c where c.book_id = book and c.last_position = b.last_position)
    order by b.last_position limit 1;
    if not found then
        return;
    end if;
    position_checked := batch.last_position;
    entries_unsound := custody_entries_unsound(book, batch.first_position, batch.last_position)
        + custody_uses_unsound(book, batch.first_position, batch.last_position);
    insert into custody_batch_check (book_id, last_position, unsound)
    values (book, batch.last_position, entries_unsound) on conflict do nothing;
    return next;
end
$$;

create function custody_batch_complete() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public
    set enable_seqscan = off set plan_cache_mode = force_generic_plan as
$$
declare
    consuming bigint;
    related bigint;
    used bigint;
    astray bigint;
begin
    if not exists (select from custody_batch_entries
                   where book_id = new.book_id and last_position = new.last_position) then
        raise exception 'positions % to % of book % have no entries',
            new.first_position, new.last_position, new.book_id
            using errcode = 'integrity_constraint_violation', constraint = 'custody_batch_complete';
    end if;
    select count(*) filter (where kind <= 2 and authorisation is not null),
           count(*) filter (where pending_position is not null or reverses_position is not null)
    into consuming, related
    from custody_transfer
    where book_id = new.book_id and position between new.first_position and new.last_position;
    select uses into used from custody_batch_uses
    where book_id = new.book_id and last_position = new.last_position;
    if consuming <> coalesce(used, 0) then
        raise exception '% transfers name an authorisation, and % uses were written', consuming, coalesce(used, 0)
            using errcode = 'integrity_constraint_violation', constraint = 'custody_use_of_batch';
    end if;
    if related > 0 then
        -- A settlement is of a pending transfer before it, between the same accounts, of no more than was held.
        -- A reversal is of a posted transfer before it that is no reversal, whole, the other way.
        select count(*) into astray
        from custody_transfer t
        -- One look each, by position: joined, the planner reads the whole book where it knows nothing of it yet.
        left join lateral (
            select * from custody_transfer named
            where named.book_id = t.book_id and named.position < t.position
                and named.position = coalesce(t.pending_position, t.reverses_position)
            limit 1
        ) of_it on true
        where t.book_id = new.book_id and t.position between new.first_position and new.last_position
            and (t.pending_position is not null or t.reverses_position is not null)
            and case when t.pending_position is not null then
                    of_it.kind = 2 and of_it.debit_account = t.debit_account
                    and of_it.credit_account = t.credit_account and of_it.code = t.code
                    and of_it.authorisation is not distinct from t.authorisation
                    and (t.amount_minor = of_it.amount_minor or t.kind = 3 and t.amount_minor < of_it.amount_minor)
                else
                    of_it.kind in (1, 3) and of_it.reverses_position is null
                    and of_it.debit_account = t.credit_account and of_it.credit_account = t.debit_account
                    and of_it.amount_minor = t.amount_minor
                end is not true;
        if astray > 0 then
            raise exception '% transfers do not settle or reverse what they name', astray
                using errcode = 'integrity_constraint_violation', constraint = 'custody_transfer_related';
        end if;
    end if;
    return null;
end
$$;

create constraint trigger custody_batch_complete after insert on custody_batch
    deferrable initially deferred for each row execute function custody_batch_complete();

-- ── uses: on the client's terms, as often and as much as the client allowed ─────────────────────────────

create table custody_batch_uses (
    book_id smallint not null,
    last_position bigint not null,
    uses bigint not null,
    primary key (book_id, last_position)
);
comment on table custody_batch_uses is 'How many uses of authorisations came with a batch: one for each transfer that needs one.';

-- How many of a batch's debits of clients have no use, or one that its authorisation and the use before do not allow.
create function custody_uses_unsound(book int, first_position bigint, last_position bigint) returns bigint
    language sql stable security definer set search_path = pg_catalog, public
    set enable_seqscan = off set max_parallel_workers_per_gather = 0 set plan_cache_mode = force_generic_plan as
$$
    with recursive debits as materialized (
        select t.* from custody_transfer t
        where t.book_id = book and t.position between first_position and last_position
            and t.kind <= 2 and t.authorisation is not null
    ), reached as (
        -- The newest use that is not after the batch, by halving: the newest of all at first, for a batch is mostly
        -- looked at soon. However many uses came before or since, it costs no more than a few.
        select newest.authorisation, 0 as low, newest.use as high, true as is_first
        from (select distinct authorisation from debits) named cross join lateral (
            select u.authorisation, u.use from custody_authorisation_use u
            where u.authorisation = named.authorisation order by u.use desc limit 1
        ) newest
        union all
        select r.authorisation, case when probed.position <= last_position then probed.use else r.low end,
            case when probed.position <= last_position then r.high else probed.use - 1 end, false
        from reached r cross join lateral (
            select u.use, u.position from custody_authorisation_use u
            where u.authorisation = r.authorisation
                and u.use = case when r.is_first then r.high else (r.low + r.high + 1) / 2 end limit 1
        ) probed
        where r.low < r.high
    ), uses as (
        -- And from there back to the one before the batch.
        select newest.* from reached r cross join lateral (
            select * from custody_authorisation_use u
            where u.authorisation = r.authorisation and u.use = r.high limit 1
        ) newest
        where r.low = r.high
        union all
        select before.* from uses cross join lateral (
            select * from custody_authorisation_use u
            where u.authorisation = uses.authorisation and u.use = uses.use - 1 limit 1
        ) before
        where uses.position >= first_position
    )
    select count(*) from debits t
    left join uses u on u.position = t.position and u.authorisation = t.authorisation
    left join uses before on before.authorisation = u.authorisation and before.use = u.use - 1
    left join lateral (select * from custody_authorisation a where a.number = t.authorisation limit 1) a on true
    where (
        a.debit_account = t.debit_account and a.credit_account = t.credit_account
        and a.code = t.code and a.payee = coalesce(t.payee, '')
        and t.recorded_at >= a.valid_from and t.recorded_at < a.valid_until
        and case a.amount_rule when 1 then t.amount_minor = a.amount_minor
                when 2 then t.amount_minor <= a.amount_minor else true end
        and u.use between 1 and a.uses_max and (u.use = 1) = (before.use is null)
        and u.used_minor = coalesce(before.used_minor, 0) + t.amount_minor and u.used_minor <= a.total_max_minor
    ) is not true
$$;

-- As for entries: small statements are compared whole at once, bulk loads within seconds. What no statement
-- may do, however large: use more often or for more than was allowed, or come without its transfers.
create function custody_use_allowed() returns trigger
    -- Each authorisation by its number: a plan that reads them all would cost more with every client.
    language plpgsql security definer set search_path = pg_catalog, public
    set enable_seqscan = off set plan_cache_mode = force_generic_plan as
$$
declare
    book int;
    last_book int;
    given bigint;
    positions bigint;
    first_position bigint;
    last_position bigint;
    batch record;
    beyond bigint;
begin
    select min(book_id), max(book_id), count(*), count(distinct position), min(position), max(position)
    into book, last_book, given, positions, first_position, last_position from consumed;
    if given = 0 then
        return null;
    end if;
    select b.first_position, b.last_position, b.xmin into batch
    from custody_batch b where b.book_id = book order by b.last_position desc limit 1;
    if book <> last_book or batch is null or batch.xmin <> pg_current_xact_id()::xid or positions <> given
        or first_position < batch.first_position or last_position > batch.last_position then
        raise exception 'uses come one to a transfer, in the transaction of their transfers'
            using errcode = 'integrity_constraint_violation', constraint = 'custody_use_of_batch';
    end if;
    insert into custody_batch_uses values (book, batch.last_position, given);
    select count(*) into beyond
    from consumed c left join custody_authorisation a on a.number = c.authorisation
    where (c.use between 1 and a.uses_max and c.used_minor <= a.total_max_minor) is not true;
    if beyond = 0 and given <= 50 then
        select count(*) into beyond from consumed c
        join custody_authorisation_withdrawal w on w.authorisation = c.authorisation;
        beyond := beyond + custody_uses_unsound(book, batch.first_position, batch.last_position);
    end if;
    if beyond > 0 then
        raise exception '% uses are not what their authorisations allow', beyond
            using errcode = 'integrity_constraint_violation', constraint = 'custody_use_allowed';
    end if;
    return null;
end
$$;

create trigger custody_use_allowed after insert on custody_authorisation_use
    referencing new table as consumed for each statement execute function custody_use_allowed();

-- ── nothing is changed or taken away, by nobody ──────────────────────────────────────────────────────────

create function custody_append_only() returns trigger language plpgsql as
$$
begin
    raise exception '% is append-only', tg_table_name
        using errcode = 'insufficient_privilege';
end
$$;

do $$
declare
    name text;
begin
    foreach name in array array[
        'custody_transfer', 'custody_entry', 'custody_authorisation_use', 'custody_batch', 'custody_batch_entries', 'custody_batch_check', 'custody_batch_uses',
        'custody_transfer_refusal', 'custody_account', 'custody_account_state', 'custody_authorisation',
        'custody_authorisation_withdrawal', 'custody_signing_key', 'custody_book', 'custody_asset'
    ] loop
        execute format('create trigger custody_append_only before update or delete or truncate on %I '
                       'for each statement execute function custody_append_only()', name);
    end loop;
end
$$;

-- ── who may ──────────────────────────────────────────────────────────────────────────────────────────────

create sequence custody_account_serial as bigint maxvalue 9999999999;
comment on sequence custody_account_serial is 'The last ten digits of account numbers: unique in the database.';

grant select on custody_book, custody_asset, custody_account, custody_account_state, custody_signing_key,
    custody_authorisation, custody_authorisation_withdrawal, custody_batch, custody_batch_entries, custody_batch_check,
    custody_batch_uses, custody_transfer, custody_entry, custody_authorisation_use, custody_transfer_refusal
    to tallystick_app, tallystick_ledger_writer, tallystick_auditor;
grant insert on custody_book, custody_asset, custody_account, custody_account_state, custody_signing_key,
    custody_authorisation, custody_authorisation_withdrawal to tallystick_app;
grant usage on sequence custody_account_serial to tallystick_app;
grant insert on custody_transfer, custody_entry, custody_authorisation_use, custody_transfer_refusal
    to tallystick_ledger_writer;
