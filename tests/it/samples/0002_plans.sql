-- One row at least in every table of 0002_plans.sql.
insert into plans values
    ('class', 268435456, 1, 2, 600000, null, 'nap', 'monthly', 64800000, 86400000, 21600000, 1980000000, 1000, 2, 300000, 1073741824, 1767225600000, 1767225600000);
insert into app_plans values (x'21', 'class');
insert into account_plans values (x'01', 'free');
insert into pool_debts values (x'01', 1767225600000, 3600000);
