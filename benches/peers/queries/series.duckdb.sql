WITH counted AS (
    SELECT DeviceName, time_bucket(INTERVAL 1 HOUR, TimeGenerated) AS slot, count(*) AS n
    FROM DeviceNetworkEvents
    WHERE TimeGenerated > TIMESTAMPTZ $NOW - INTERVAL 7 DAY AND TimeGenerated < TIMESTAMPTZ $NOW
    GROUP BY 1, 2
), hours AS (
    SELECT unnest(generate_series(TIMESTAMPTZ $NOW - INTERVAL 7 DAY, TIMESTAMPTZ $NOW - INTERVAL 1 HOUR, INTERVAL 1 HOUR)) AS slot
), filled AS (
    SELECT DeviceName, slot, coalesce(n, 0) AS n
    FROM (SELECT DISTINCT DeviceName FROM counted) CROSS JOIN hours LEFT JOIN counted USING (DeviceName, slot)
), judged AS (
    SELECT *, avg(n) OVER (PARTITION BY DeviceName) AS mean, stddev_samp(n) OVER (PARTITION BY DeviceName) AS deviation
    FROM filled
)
SELECT DeviceName, floor(epoch(slot))::BIGINT, n, mean, deviation FROM judged WHERE n > mean + 2 * deviation
