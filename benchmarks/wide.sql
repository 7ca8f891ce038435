-- The scorecard of scorecard.yaml as a person would write it once, for facts that are all there and already bear the
-- account's id: no links, no missing values, no parts.
copy (
with
people as (
  select account,
    count(distinct case when age < 7 then actor end) as weekly_users,
    count(distinct hash(actor, age)) as user_days,
    bit_count(bit_or(1::bigint << age))::double as login_days
  from (select account, actor, datediff('day', day, date '$as_of') as age from read_parquet('$facts')
        where name = 'login' and day > date '$as_of' - 28 and day <= date '$as_of')
  group by account),
sums as (
  select account,
    sum(case when name = 'login' and age < 28 then value else 0 end) as logins,
    sum(case when name = 'login' and age >= 28 and age < 56 then value else 0 end) as logins_before,
    sum(case when name = 'feature.report' and age < 28 then value else 0 end) as reports,
    sum(case when name = 'feature.export' and age < 28 then value else 0 end) as exports,
    sum(case when name = 'feature.api' and age < 28 then value else 0 end) as api_calls,
    sum(case when name = 'feature.dashboard' and age < 28 then value else 0 end) as dashboards,
    max(case when name = 'feature.report' and age < 28 then 1 else 0 end)
      + max(case when name = 'feature.export' and age < 28 then 1 else 0 end)
      + max(case when name = 'feature.api' and age < 28 then 1 else 0 end)
      + max(case when name = 'feature.dashboard' and age < 28 then 1 else 0 end)::double as breadth,
    min(case when name = 'login' then age end) as idle,
    count(case when name = 'ticket.created' and age < 60 then 1 end) as tickets,
    count(case when name = 'ticket.severity' and age < 60 and value >= 3 then 1 end) as severe,
    avg(case when name = 'ticket.severity' then value end) as severity,
    avg(case when name = 'ticket.solved' then value end) as solve_hours,
    count(case when name = 'ticket.escalated' then 1 end) as escalations,
    avg(case when name = 'ticket.sentiment' then value end) as sentiment,
    avg(case when name = 'csat.response' then value end) as csat,
    arg_max(case when name = 'survey.nps' then value end, day) filter (where name = 'survey.nps') as nps,
    arg_max(case when name = 'arr' then value end, day) filter (where name = 'arr') as arr,
    arg_max(case when name = 'seats' then value end, day) filter (where name = 'seats') as seats
  from (select account, name, value, day, datediff('day', day, date '$as_of') as age from read_parquet('$facts')
        where day > date '$as_of' - 90 and day <= date '$as_of')
  group by account),
told as (
  select s.*, coalesce(weekly_users, 0) / seats as weekly_active, coalesce(user_days, 0) / seats as seat_use,
    coalesce(login_days, 0) as login_days, (logins - logins_before) / nullif(logins_before, 0) as login_trend
  from sums s left join people p using (account)),
pointed as (
  select account,
    case when weekly_active <= 0.2 then weekly_active * 150 when weekly_active <= 0.4 then 30 + (weekly_active - 0.2) * 150
         when weekly_active <= 0.7 then 60 + (weekly_active - 0.4) * 40 / 0.3 else 100 end as weekly_active,
    case when login_days <= 5 then login_days * 10 when login_days <= 15 then 50 + (login_days - 5) * 5
         else 100 end as login_days,
    case when logins <= 20 then logins * 3 when logins <= 60 then 60 + (logins - 20) else 100 end as logins,
    case when login_trend <= -0.5 then 0 when login_trend <= 0 then (login_trend + 0.5) * 160
         when login_trend <= 0.2 then 80 + login_trend * 100 else 100 end as login_trend,
    case when reports <= 5 then reports * 12 when reports <= 20 then 60 + (reports - 5) * 40 / 15 else 100 end as reports,
    case when exports <= 5 then exports * 12 when exports <= 20 then 60 + (exports - 5) * 40 / 15 else 100 end as exports,
    case when api_calls <= 5 then api_calls * 12 when api_calls <= 20 then 60 + (api_calls - 5) * 40 / 15
         else 100 end as api_calls,
    case when dashboards <= 5 then dashboards * 12 when dashboards <= 20 then 60 + (dashboards - 5) * 40 / 15
         else 100 end as dashboards,
    breadth * 25 as breadth,
    case when idle <= 7 then 100 - idle * 40 / 7 when idle <= 30 then 60 - (idle - 7) * 60 / 23 else 0 end as idle,
    case when tickets <= 5 then 100 - tickets * 12 when tickets <= 12 then 40 - (tickets - 5) * 40 / 7
         else 0 end as tickets,
    case when severe <= 1 then 100 - severe * 40 when severe <= 4 then 60 - (severe - 1) * 20 else 0 end as severe,
    case when severity <= 1 then 100 when severity <= 2 then 100 - (severity - 1) * 30
         else 70 - (severity - 2) * 35 end as severity,
    case when solve_hours <= 4 then 100 when solve_hours <= 24 then 100 - (solve_hours - 4) * 2
         when solve_hours <= 72 then 60 - (solve_hours - 24) * 1.25 else 0 end as solve_hours,
    case when escalations <= 1 then 100 - escalations * 50 when escalations <= 3 then 50 - (escalations - 1) * 25
         else 0 end as escalations,
    case when sentiment <= -0.6 then 0 when sentiment <= 0 then (sentiment + 0.6) * 100
         when sentiment <= 0.5 then 60 + sentiment * 80 else 100 end as sentiment,
    case when csat <= 40 then 0 when csat <= 70 then (csat - 40) * 50 / 30 when csat <= 95 then 50 + (csat - 70) * 2
         else 100 end as csat,
    case when nps <= 6 then nps * 5 when nps <= 9 then 30 + (nps - 6) * 20 else 90 + (nps - 9) * 10 end as nps,
    case when arr <= 10000 then arr * 0.005 when arr <= 50000 then 50 + (arr - 10000) * 0.00125 else 100 end as arr,
    case when seat_use <= 1 then seat_use * 50 when seat_use <= 3 then 50 + (seat_use - 1) * 25 else 100 end as seat_use
  from told),
grouped as (
  select *,
    (weekly_active * 4 + login_days * 3 + logins * 2 + login_trend * 3 + reports + exports + api_calls + dashboards
     + breadth * 2 + idle * 2) / 20 as usage,
    (tickets * 2 + severe * 2 + severity + solve_hours + escalations * 2 + sentiment * 2 + csat) / 11 as support,
    (nps * 2 + arr + seat_use) / 4 as worth
  from pointed),
scored as (select *, (usage * 55 + support * 30 + worth * 15) / 100 as score from grouped)
select *, case when score >= 70 then 'green' when score >= 40 then 'yellow' else 'red' end as tier
from scored order by account
) to '$to' (format parquet)
