insert into second_factors (user_id, sealed, confirmed_at, last_step, created_at) select id, x'01', 1, 57000000, 1 from users limit 1;
insert into recovery_codes (user_id, code_hash, used_at) select id, x'02', null from users limit 1;
