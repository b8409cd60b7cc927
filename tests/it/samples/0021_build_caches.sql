insert into build_caches select id, 1767225600000 from apps limit 1;
