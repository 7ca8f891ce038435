-- The facts of the accounts from $from up to $accounts in $days days. Every number is the hash of where it stands, so
-- they are the same each time, however many accounts are made at a time.
with used as (
  select n, hash(n, k, 1) % (2 + n % 9) as person, date '$first' + (hash(n, k, 2) % $days)::integer as day,
         ['login', 'login', 'login', 'login', 'login', 'feature.report', 'feature.export', 'feature.api',
          'feature.dashboard', 'feature.dashboard'][(1 + hash(n, k, 3) % 10)::integer] as name
  from range($from, $accounts) a(n), range(80 * $times) k(k)),
asked as (
  select n, k, date '$first' + (hash(n, k, 4) % ($days - 2))::integer as day, hash(n, k, 5) as h
  from range($from, $accounts) a(n), range(2 * $times) k(k) where k < $times * (1 + n % 2)),
told as (
  select n, 'mixpanel' as source, day, name, person, count(*)::double as value, null as label, null as k
  from used group by n, day, name, person
  union all
  select n, 'zendesk', day + (one.later)::integer, one.name, null, one.value, one.label, k
  from (select *, unnest([
    {name: 'ticket.created', later: 0, value: 1.0, label: null},
    {name: 'ticket.severity', later: 0, value: 1.0 + h % 4, label: ['low', 'normal', 'high', 'urgent'][(1 + h % 4)::integer]},
    {name: 'ticket.solved', later: 1, value: 1.0 + h % 80, label: null},
    {name: 'ticket.sentiment', later: 0, value: (h % 200) / 100.0 - 1, label: null},
    {name: 'ticket.first_reply', later: 0, value: 5.0 + h % 600, label: null},
    {name: 'csat.response', later: 2, value: (h % 2) * 100.0, label: ['bad', 'good'][(1 + h % 2)::integer]},
    {name: 'ticket.escalated', later: 1, value: case when h % 10 = 0 then 1.0 end, label: null}]) as one from asked)
  where one.value is not null
  union all select n, 'surveys', date '$first' + 1 + (hash(n, 6) % ($days - 1))::integer, 'survey.nps', null,
                   (hash(n, 7) % 11)::double, null, null from range($from, $accounts) a(n)
  union all select n, 'crm', date '$first' + 1, 'seats', null, 2.0 + n % 30, null, null
            from range($from, $accounts) a(n)
  union all select n, 'crm', date '$first' + 1, 'arr', null, 500.0 + hash(n, 8) % 80000, null, null
            from range($from, $accounts) a(n))
select n, k, '001' || lpad(n::varchar, 15, '0') as account, source, day, name,
       case source when 'mixpanel' then md5(n || '-' || person) end as actor,
       floor(value::double * 1024 + 0.5) / 1024 as value, label
from (from told order by n, day, name)
