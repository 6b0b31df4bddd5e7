WITH gaps AS (
    SELECT DeviceName, RemoteIP, RemotePort,
        lagInFrame(toNullable(TimeGenerated), 1) OVER (PARTITION BY DeviceName, RemoteIP, RemotePort ORDER BY TimeGenerated
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS before,
        dateDiff('millisecond', before, TimeGenerated) / 1000.0 AS gap
    FROM DeviceNetworkEvents
    WHERE TimeGenerated > toDateTime64($NOW, 6, 'UTC') - INTERVAL 2 DAY AND TimeGenerated <= toDateTime64($NOW, 6, 'UTC')
        AND ActionType = 'ConnectionSuccess' AND position(RemoteIP, '.') > 0 AND position(RemoteIP, ':') = 0
        AND NOT startsWith(RemoteIP, '10.') AND NOT startsWith(RemoteIP, '192.168.')
        AND NOT match(RemoteIP, '^172\\.(1[6-9]|2[0-9]|3[01])\\.')
)
SELECT DeviceName, RemoteIP, RemotePort, count(gap) AS n, avg(gap) AS mean, stddevSampStable(gap) AS deviation
FROM gaps
GROUP BY DeviceName, RemoteIP, RemotePort
HAVING n >= 10 AND deviation < 0.5 * mean
