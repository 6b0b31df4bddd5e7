WITH gaps AS (
    SELECT DeviceName, RemoteIP, RemotePort,
        date_diff('millisecond', lag(TimeGenerated) OVER (PARTITION BY DeviceName, RemoteIP, RemotePort ORDER BY TimeGenerated),
            TimeGenerated) / 1000.0 AS gap
    FROM DeviceNetworkEvents
    WHERE TimeGenerated > TIMESTAMPTZ $NOW - INTERVAL 2 DAY AND TimeGenerated <= TIMESTAMPTZ $NOW
        AND ActionType = 'ConnectionSuccess' AND RemoteIP LIKE '%.%.%.%' AND RemoteIP NOT LIKE '%:%'
        AND NOT starts_with(RemoteIP, '10.') AND NOT starts_with(RemoteIP, '192.168.')
        AND NOT regexp_matches(RemoteIP, '^172\.(1[6-9]|2[0-9]|3[01])\.')
)
SELECT DeviceName, RemoteIP, RemotePort, count(gap) AS n, avg(gap) AS mean, stddev_samp(gap) AS deviation
FROM gaps
GROUP BY DeviceName, RemoteIP, RemotePort
HAVING n >= 10 AND deviation < 0.5 * mean
