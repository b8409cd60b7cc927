-- What an app did in ten minutes: answers by class, times, memory, CPU (metrics/history.rs). Seven days.
create table usage_slots (
    app_id blob not null references apps (id) on delete cascade,
    slot   integer not null,                          -- ten-minute slots since the epoch
    data   blob not null,
    primary key (app_id, slot)
) strict, without rowid;
create index usage_slots_slot on usage_slots (slot);
