-- A second factor of an account: a time-based code (RFC 6238). Unconfirmed until a first code was typed.
create table second_factors (
    user_id      blob primary key not null references users (id) on delete cascade,
    sealed       blob not null,                      -- the shared secret in base32, sealed
    confirmed_at integer,
    last_step    integer not null default 0,         -- a code counts once: the latest 30 s step used
    created_at   integer not null
) strict;

-- Codes for the day the telephone is lost; each works once.
create table recovery_codes (
    user_id   blob not null references users (id) on delete cascade,
    code_hash blob not null,                         -- SHA-256
    used_at   integer,
    primary key (user_id, code_hash)
) strict;
