-- Mail that is still to be sent: the row is the queue. What was sent, or tried often enough, is gone.
create table letters (
    id         integer primary key,
    recipient  text not null,                        -- e-mail address
    subject    text not null,
    body       text not null,
    attempts   integer not null default 0,
    next_at    integer not null,
    error      text,                                 -- why the last try did not work
    created_at integer not null
) strict;
create index letters_due on letters (next_at);

-- Of a restore from an address of the user's: where the dump is fetched, sealed, until the restore is at its end.
alter table backups add column sealed_url blob;
