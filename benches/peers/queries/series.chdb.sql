WITH counted AS (
    SELECT assumeNotNull(DeviceName) AS DeviceName, toUnixTimestamp(toStartOfHour(TimeGenerated)) AS at, count() AS n
    FROM DeviceNetworkEvents
    WHERE TimeGenerated > toDateTime64($NOW, 6, 'UTC') - INTERVAL 7 DAY AND TimeGenerated < toDateTime64($NOW, 6, 'UTC')
    GROUP BY DeviceName, at
), devices AS (
    SELECT DISTINCT DeviceName FROM counted
), hours AS (
    SELECT toUnixTimestamp(toDateTime($NOW, 'UTC')) - 3600 * (number + 1) AS at FROM numbers(168)
), filled AS (
    SELECT grid.DeviceName AS DeviceName, grid.at AS at, ifNull(counted.n, 0) AS n
    FROM (SELECT DeviceName, at FROM devices CROSS JOIN hours) AS grid
    LEFT JOIN counted ON grid.DeviceName = counted.DeviceName AND grid.at = counted.at
), judged AS (
    SELECT DeviceName, at, n, avg(n) OVER (PARTITION BY DeviceName) AS mean,
        stddevSamp(n) OVER (PARTITION BY DeviceName) AS deviation
    FROM filled
)
SELECT DeviceName, at, n, mean, deviation FROM judged WHERE n > mean + 2 * deviation
