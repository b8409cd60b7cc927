-- One row at least in every table of 0020_data.sql.
insert into letters (recipient, subject, body, attempts, next_at, error, created_at) values
    ('ana@example.org', 'postgresql-calm-1 has 7000 of 10000 rows', 'Hello.', 1, 1767225860000, 'Connection refused', 1767225800000);
