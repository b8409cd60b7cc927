insert into one_offs (id, app_id, release_id, process_type, number, command, streams, user_id, created_at, ends_at) values
    (x'91', x'21', x'52', 'run', 1234, 'bash', 'terminal', x'01', 1767226000000, 1767312400000),
    (x'92', x'21', x'52', 'run', 4321, 'flask db upgrade', null, x'01', 1767226000000, 1767312400000);
