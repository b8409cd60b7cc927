-- One row at least in every table of 0018_bin_and_audit.sql.
insert into apps (id, name, owner_id, number, maintenance, stack, current_release_id, released_at, created_at, updated_at) values
    (x'22', 'bin-0123456789abcdef', x'01', 2, 0, 'siesta/run:1', null, null, 1767225600000, 1767225800000);
insert into app_bin (app_id, name, user_email, settled_at, binned_at, purge_at) values
    (x'22', 'libros', 'ana@example.org', 1767225900000, 1767225800000, 1767830600000);
insert into app_bin_attachments (app_id, addon_id, name) values (x'22', x'90', 'DATABASE');
insert into audit (at, actor, ip, via, action, subject) values
    (1767225800000, 'ana@example.org', '127.0.0.1', 'dashboard', 'POST /apps/{app}/delete', 'libros');
