WITH recent AS (
    SELECT TimeGenerated, DeviceId, DeviceName, RemoteIP, RemotePort, ActionType, InitiatingProcessFileName,
        ifNull(RemoteUrl, '') AS Url,
        position(RemoteIP, '.') > 0 AND position(RemoteIP, ':') = 0 AND NOT startsWith(RemoteIP, '10.')
            AND NOT startsWith(RemoteIP, '192.168.')
            AND NOT match(RemoteIP, '^172\\.(1[6-9]|2[0-9]|3[01])\\.') AS public
    FROM DeviceNetworkEvents
    WHERE TimeGenerated > toDateTime64($NOW, 6, 'UTC') - INTERVAL 7 DAY AND TimeGenerated <= toDateTime64($NOW, 6, 'UTC')
), beacons AS (
    SELECT DeviceName, RemoteIP, Url, count() AS n, uniqExact(RemotePort) AS ports, min(TimeGenerated) AS first,
        max(TimeGenerated) AS last, least(uniqExact(InitiatingProcessFileName), 5) AS programs
    FROM recent
    WHERE ActionType IN ('ConnectionSuccess', 'ConnectionFailed') AND RemotePort IN (80, 443, 8080, 8443, 4444) AND public
    GROUP BY DeviceId, DeviceName, RemoteIP, Url
    HAVING n >= 20
), flux AS (
    SELECT DeviceName, toStartOfHour(TimeGenerated) AS at, uniqExact(RemoteIP) AS addresses, count() AS n,
        least(uniqExact(Url), 10) AS names
    FROM recent
    WHERE ActionType = 'ConnectionSuccess' AND public
        AND lower(InitiatingProcessFileName) NOT IN ('chrome.exe', 'firefox.exe', 'msedge.exe', 'svchost.exe', 'mssense.exe')
    GROUP BY DeviceId, DeviceName, at
    HAVING addresses >= 5 AND n >= 10
)
SELECT 'beacon', toUnixTimestamp(last), DeviceName, RemoteIP, Url, n, ports, programs
FROM beacons
WHERE dateDiff('hour', first, last) > 1 AND n / dateDiff('hour', first, last) BETWEEN 0.5 AND 200
UNION ALL
SELECT 'dynamic name', 0, '', '', Url, count(), uniqExact(DeviceId),
    least(uniqExact(InitiatingProcessFileName), 5)
FROM recent
WHERE ActionType = 'ConnectionSuccess' AND Url <> ''
    AND match(Url, '(?i)(duckdns\\.org|no-ip\\.com|hopto\\.org|ddns\\.net|zapto\\.org|sytes\\.net|myddns\\.me)')
GROUP BY Url
UNION ALL
SELECT 'fast flux', toUnixTimestamp(at), DeviceName, '', '', n, addresses, names FROM flux
