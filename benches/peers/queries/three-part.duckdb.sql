WITH recent AS (
    SELECT *, coalesce(RemoteUrl, '') AS Url,
        RemoteIP LIKE '%.%.%.%' AND RemoteIP NOT LIKE '%:%' AND NOT starts_with(RemoteIP, '10.')
            AND NOT starts_with(RemoteIP, '192.168.')
            AND NOT regexp_matches(RemoteIP, '^172\.(1[6-9]|2[0-9]|3[01])\.') AS public
    FROM DeviceNetworkEvents
    WHERE TimeGenerated > TIMESTAMPTZ $NOW - INTERVAL 7 DAY AND TimeGenerated <= TIMESTAMPTZ $NOW
), beacons AS (
    SELECT DeviceName, RemoteIP, Url, count(*) AS n, count(DISTINCT RemotePort) AS ports,
        min(TimeGenerated) AS first, max(TimeGenerated) AS last,
        least(count(DISTINCT InitiatingProcessFileName), 5) AS programs
    FROM recent
    WHERE ActionType IN ('ConnectionSuccess', 'ConnectionFailed') AND RemotePort IN (80, 443, 8080, 8443, 4444) AND public
    GROUP BY DeviceId, DeviceName, RemoteIP, Url
    HAVING count(*) >= 20
), flux AS (
    SELECT DeviceName, time_bucket(INTERVAL 1 HOUR, TimeGenerated) AS slot, count(DISTINCT RemoteIP) AS addresses, count(*) AS n,
        least(count(DISTINCT Url), 10) AS names
    FROM recent
    WHERE ActionType = 'ConnectionSuccess' AND public
        AND lower(InitiatingProcessFileName) NOT IN ('chrome.exe', 'firefox.exe', 'msedge.exe', 'svchost.exe', 'mssense.exe')
    GROUP BY DeviceId, DeviceName, 2
    HAVING count(DISTINCT RemoteIP) >= 5 AND count(*) >= 10
)
SELECT 'beacon', floor(epoch(last))::BIGINT, DeviceName, RemoteIP, Url, n, ports, programs
FROM beacons
WHERE date_diff('hour', first, last) > 1 AND n::DOUBLE / date_diff('hour', first, last) BETWEEN 0.5 AND 200
UNION ALL
SELECT 'dynamic name', 0, '', '', Url, count(*), count(DISTINCT DeviceId),
    least(count(DISTINCT InitiatingProcessFileName), 5)
FROM recent
WHERE ActionType = 'ConnectionSuccess' AND Url <> ''
    AND regexp_matches(Url, '(?i)(duckdns\.org|no-ip\.com|hopto\.org|ddns\.net|zapto\.org|sytes\.net|myddns\.me)')
GROUP BY Url
UNION ALL
SELECT 'fast flux', floor(epoch(slot))::BIGINT, DeviceName, '', '', n, addresses, names FROM flux
