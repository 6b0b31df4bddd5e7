WITH seen AS (
    SELECT DISTINCT DeviceName, RemoteIP
    FROM DeviceNetworkEvents
    WHERE TimeGenerated BETWEEN TIMESTAMPTZ $NOW - INTERVAL 8 DAY AND TIMESTAMPTZ $NOW - INTERVAL 1 DAY
        AND ActionType = 'ConnectionSuccess'
), today AS (
    SELECT DeviceName, RemoteIP, count(*) AS n, min(TimeGenerated) AS first
    FROM DeviceNetworkEvents
    WHERE TimeGenerated > TIMESTAMPTZ $NOW - INTERVAL 1 DAY AND TimeGenerated <= TIMESTAMPTZ $NOW
        AND ActionType = 'ConnectionSuccess'
    GROUP BY DeviceName, RemoteIP
)
SELECT DeviceName, count(*), sum(n)::BIGINT FROM today ANTI JOIN seen USING (DeviceName, RemoteIP) GROUP BY DeviceName
