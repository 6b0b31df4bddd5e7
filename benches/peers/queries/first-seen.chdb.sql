WITH seen AS (
    SELECT DISTINCT DeviceName, RemoteIP
    FROM DeviceNetworkEvents
    WHERE TimeGenerated BETWEEN toDateTime64($NOW, 6, 'UTC') - INTERVAL 8 DAY AND toDateTime64($NOW, 6, 'UTC') - INTERVAL 1 DAY
        AND ActionType = 'ConnectionSuccess'
), today AS (
    SELECT DeviceName, RemoteIP, count() AS n, min(TimeGenerated) AS first
    FROM DeviceNetworkEvents
    WHERE TimeGenerated > toDateTime64($NOW, 6, 'UTC') - INTERVAL 1 DAY AND TimeGenerated <= toDateTime64($NOW, 6, 'UTC')
        AND ActionType = 'ConnectionSuccess'
    GROUP BY DeviceName, RemoteIP
)
SELECT DeviceName, count(), sum(n) FROM today ANTI LEFT JOIN seen USING (DeviceName, RemoteIP) GROUP BY DeviceName
